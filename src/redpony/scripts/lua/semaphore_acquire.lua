-- Take a place of a semaphore, or stand in its line. Asked again with the same token it
-- changes nothing but times: a retry is safe, and is a waiter's sign of life.
--
-- KEYS     as in _semaphore
-- ARGV[1]  the token
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  the lease, milliseconds
-- ARGV[4]  for how long a waiter is alive after this, milliseconds; 0 does not wait,
--          and leaves the line
-- ARGV[5]  how long it has been waiting, microseconds
-- ARGV[6]  what there is room for
-- Reply    {1, fence} where the token has its place;
--          {0, milliseconds until the next holder's time is over (-1: there is none)}
-- Atomic, one slot.
--@include _semaphore
local token, waits, limit = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[6])
local now = now_in_us()
local sum = weigh(now)
if redis.call('ZSCORE', KEYS[1], token) then
  admit(token, now, ARGV[3])
  settle(now, sum)
  redis.call('DEL', ARGV[2] .. token)
  return {1, next_fence(now)}
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  if waits > 0 then
    line_up(token, now, tonumber(ARGV[5]), waits)
  else
    redis.call('ZREM', KEYS[2], token)
    redis.call('ZREM', KEYS[3], token)
  end
  sum = grant(now, sum, limit)
  if redis.call('ZSCORE', KEYS[1], token) then
    admit(token, now, ARGV[3])
    settle(now, sum)
    -- The last fence may be that of another one, who was let in after it.
    return {1, redis.call('LPOP', ARGV[2] .. token)}
  end
end
if redis.call('EXISTS', KEYS[2]) == 0 and sum + weight(token) <= limit then
  admit(token, now, ARGV[3])
  settle(now, sum + weight(token))
  return {1, next_fence(now)}
end
if waits > 0 then
  line_up(token, now, tonumber(ARGV[5]), waits)
end
settle(now, sum)
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not first[1] then
  return {0, -1}
end
return {0, math.max(first[2] - math.floor(now / 1000), 0)}
