-- Move an entry to another version; value and time to live go with it.
--
-- KEYS[1]  the entry
-- KEYS[2]  its new key; what was there is replaced
-- Reply    1; 0 where KEYS[1] is missing
-- Atomic, one slot.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('RENAME', KEYS[1], KEYS[2])
return 1
