-- Set how long a place of a semaphore is held from now on.
--
-- KEYS     as in _semaphore
-- ARGV[1]  the holder's token
-- ARGV[2]  milliseconds
-- Reply    1; 0 where the token has no place
-- Atomic, one slot; asked again it changes nothing but the time.
--@include _semaphore
local now = now_in_us()
local sum = weigh(now)
local has = redis.call('ZSCORE', KEYS[1], ARGV[1])
if has then
  admit(ARGV[1], now, ARGV[2])
end
settle(now, sum)
return has and 1 or 0
