-- Set how long a lock is held from now on.
--
-- KEYS[1]  the lock
-- ARGV[1]  the holder's token
-- ARGV[2]  milliseconds
-- Reply    1; 0 where the token does not have the lock
-- Atomic, one slot; asked again it changes nothing but the time.
local owner = redis.call('GET', KEYS[1])
-- The "+" is of a plain lock: see _lock.
if owner ~= ARGV[1] and owner ~= ARGV[1] .. '+' then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
