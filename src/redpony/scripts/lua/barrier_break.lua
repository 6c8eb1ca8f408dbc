-- Break a barrier: for a party that waits no longer, or for everybody.
--
-- KEYS     as in _barrier
-- ARGV[1]  the party's token; '' is everybody's
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  for how long it stays broken, milliseconds; 0 begins anew
-- Reply    {1, index} where all have come before; {1, 'broken'}
-- Atomic, one slot; asked again with the same token it changes nothing.
--@include _barrier
local token = ARGV[1]
if token ~= '' then
  local before = told(token)
  if before then
    return {1, before}
  end
  if redis.call('HEXISTS', KEYS[1], token) == 0 then
    return {1, 'broken'}
  end
end
break_up(ARGV[3])
return {1, 'broken'}
