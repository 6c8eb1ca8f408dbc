-- Remove an entry if it is still what was read.
--
-- KEYS[1]  the entry
-- ARGV[1]  its dump
-- Reply    1; 0 where it has changed meanwhile (a key that is gone has not)
-- Atomic, one slot.
local data = redis.call('DUMP', KEYS[1])
if data and data ~= ARGV[1] then
  return 0
end
redis.call('UNLINK', KEYS[1])
return 1
