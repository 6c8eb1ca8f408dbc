-- Ask whether a latch is open, and wait for that. Asked again it is a sign of life.
--
-- KEYS     as in _wake; the latch is a hash: total, left
-- ARGV[1]  the waiter's token
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  what it counts from
-- ARGV[4]  for how long it is kept from now on, milliseconds
-- ARGV[5]  for how long a waiter is alive after this, milliseconds; 0 does not wait
-- Reply    {1} open; {0} not yet; {-1, total} it counts from something else
-- Atomic, one slot.
--@include _wake
local token, lives = ARGV[1], tonumber(ARGV[5])
local found = redis.call('HMGET', KEYS[1], 'total', 'left')
if found[1] and found[1] ~= ARGV[3] then
  return {-1, found[1]}
end
local is_open = told(token) or found[2] == '0'
if is_open or lives == 0 then
  redis.call('ZREM', KEYS[2], token)
  return {is_open and 1 or 0}
end
stand(token, now_in_ms(), lives)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {0}
