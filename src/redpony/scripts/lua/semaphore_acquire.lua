-- Take a place of a semaphore, or stand in its line. Asked again with the same token it
-- changes nothing but times: a retry is safe, and is a waiter's sign of life.
--
-- KEYS     as in _semaphore
-- ARGV[1]  the token
-- ARGV[2]  what there is room for
-- ARGV[3]  the lease, milliseconds
-- ARGV[4]  for how long a waiter is alive after this, milliseconds; 0 does not wait,
--          and leaves the line
-- ARGV[5]  how long it has been waiting, microseconds; 0 if not given
-- ARGV[6]  1: whoever has a place at once is written to as well, because it listens
-- Reply    the fence, where the token has its place;
--          {milliseconds until the next holder's time is over (-1: there is none)}
-- Atomic, one slot.
--@include _semaphore
local token, waits, limit = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[2])
local now = now_in_us()
local sum = weigh(now)
local function entered(fence)
  settle(now, sum)
  if ARGV[6] == '1' then
    write_to(token, fence, grant_lasts(token))
  else
    redis.call('DEL', mailbox_of(token))
  end
  return fence
end
if redis.call('ZSCORE', KEYS[1], token) then
  admit(token, now, ARGV[3])
  return entered(next_fence(now))
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  if waits > 0 then
    line_up(token, now, tonumber(ARGV[5] or 0), waits)
  else
    redis.call('ZREM', KEYS[2], token)
    redis.call('ZREM', KEYS[3], token)
  end
  sum = grant(now, sum, limit)
  if redis.call('ZSCORE', KEYS[1], token) then
    admit(token, now, ARGV[3])
    -- The last fence may be that of another one, who was let in after it.
    return entered(fence_of[token])
  end
end
if redis.call('EXISTS', KEYS[2]) == 0 and sum + weight(token) <= limit then
  admit(token, now, ARGV[3])
  sum = sum + weight(token)
  return entered(next_fence(now))
end
if waits > 0 then
  line_up(token, now, tonumber(ARGV[5] or 0), waits)
end
local first = settle(now, sum)
if not first[1] then
  return {-1}
end
return {math.max(first[2] - math.floor(now / 1000), 0)}
