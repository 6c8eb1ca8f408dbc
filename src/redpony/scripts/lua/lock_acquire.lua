-- Take a lock, or stand in its line. Asked again with the same token it changes
-- nothing but the line's patience: a retry is safe, and is a waiter's sign of life.
--
-- KEYS     as in _lock
-- ARGV[1]  the token
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  the lease, milliseconds
-- ARGV[4]  for how long a waiter is alive after this, milliseconds; 0 does not wait,
--          and leaves the line
-- ARGV[5]  how long it has been waiting, microseconds
-- Reply    {1, fence} where the token has the lock;
--          {0, milliseconds that the holder's lease has left (-1: no end), its token}
-- Atomic, one slot.
--@include _lock
local token, waits = ARGV[1], tonumber(ARGV[4])
local owner = redis.call('GET', KEYS[1])
if not owner then
  if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('SET', KEYS[1], token, 'PX', ARGV[3])
    return {1, next_fence(now_in_us())}
  end
  -- Its holder is gone, and others may have been here before.
  local now = now_in_us()
  if waits > 0 then
    line_up(token, now, tonumber(ARGV[5]), waits)
  end
  owner = grant(now)
  if not owner then
    redis.call('SET', KEYS[1], token, 'PX', ARGV[3])
    return {1, next_fence(now)}
  end
end
if owner == token then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('DEL', ARGV[2] .. token)
  return {1, redis.call('GET', KEYS[4]) or next_fence(now_in_us())}
end
if waits > 0 then
  line_up(token, now_in_us(), tonumber(ARGV[5]), waits)
else
  redis.call('ZREM', KEYS[2], token)
  redis.call('ZREM', KEYS[3], token)
end
return {0, redis.call('PTTL', KEYS[1]), owner}
