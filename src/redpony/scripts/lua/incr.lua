-- Add to a counter that exists; its time to live stays.
--
-- KEYS[1]  the counter: a cache entry that holds decimal text
-- ARGV[1]  the amount, decimal text, may be negative
-- Reply    the new value; nil where the key is missing
-- Errors   what INCRBY says of values that are no 64-bit integers
-- Atomic, one slot.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
return redis.call('INCRBY', KEYS[1], ARGV[1])
