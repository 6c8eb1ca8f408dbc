-- Come to a barrier, and wait for the others. Asked again it is a sign of life; who
-- gives none has died, and breaks the barrier for all.
--
-- KEYS     as in _barrier
-- ARGV[1]  the party's token
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  how many parties there are
-- ARGV[4]  for how long a party is alive after this, milliseconds
-- ARGV[5]  for how long a barrier stays broken, milliseconds
-- ARGV[6]  1 if the token has come before
-- Reply    {1, index} all have come; {1, 'broken'}; {0} not all yet;
--          {-1, parties} it is for another number of them
-- Atomic, one slot.
--@include _barrier
local token, parties, lives = ARGV[1], ARGV[3], tonumber(ARGV[4])
local before = told(token)
if before then
  return {1, before}
end
local found = redis.call('HMGET', KEYS[1], 'broken', 'parties', token)
if found[1] then
  return {1, 'broken'}
end
if found[2] and found[2] ~= parties then
  return {-1, found[2]}
end
if not found[3] and ARGV[6] == '1' then
  -- It was away for so long that nothing is known of it.
  return {1, 'broken'}
end
local now = now_in_ms()
redis.call('ZADD', KEYS[2], string.format('%.0f', now + lives), token)
local come = redis.call('ZCARD', KEYS[2])
redis.call('HSET', KEYS[1], 'parties', parties, token, found[3] or come - 1)
if redis.call('ZCOUNT', KEYS[2], '-inf', string.format('(%.0f', now)) > 0 then
  break_up(ARGV[5])
elseif come >= tonumber(parties) then
  for _, each in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    tell(each, redis.call('HGET', KEYS[1], each))
  end
  redis.call('DEL', KEYS[1], KEYS[2])
else
  redis.call('PEXPIRE', KEYS[1], lives * 2)
  redis.call('PEXPIRE', KEYS[2], lives * 2)
end
local after = told(token)
return after and {1, after} or {0}
