-- Say what the holders of a semaphore weigh together.
--
-- KEYS     as in _semaphore
-- Reply    the sum
-- Atomic, one slot; lets go of those whose time is over.
--@include _semaphore
local now = now_in_us()
local sum = weigh(now)
settle(now, sum)
return sum
