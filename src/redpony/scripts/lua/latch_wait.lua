-- Ask whether a latch is open, or has been since, and wait for that. Asked again it is
-- a sign of life.
--
-- KEYS     as in _wake; the latch is a hash: total, left, and when it opened last:
--          microseconds of the server's clock, larger with each time
-- ARGV[1]  the waiter's token
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  what it counts from
-- ARGV[4]  for how long it is kept from now on, milliseconds
-- ARGV[5]  for how long a waiter is alive after this, milliseconds; 0 does not wait
-- ARGV[6]  since when it waits: when the latch had opened last by then, or ''
-- Reply    {1, opened} it is open, or has been since; {0, opened} not yet;
--          {-1, total} it counts from something else
-- Atomic, one slot.
--@include _wake
local token, lives, since = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
local found = redis.call('HMGET', KEYS[1], 'total', 'left', 'opened')
if found[1] and found[1] ~= ARGV[3] then
  return {-1, found[1]}
end
local opened = found[3] or '0'
local is_open = found[2] == '0' or (since and tonumber(opened) > since)
if is_open or lives == 0 then
  redis.call('ZREM', KEYS[2], token)
  return {is_open and 1 or 0, opened}
end
stand(token, now_in_ms(), lives)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {0, opened}
