-- Have a lock's server know of a fence that another server gave: all that it gives
-- after this are larger.
--
-- KEYS[1]  the lock
-- KEYS[2]  the last fence: decimal text
-- ARGV[1]  the holder's token
-- ARGV[2]  the fence
-- Reply    1; 0 where the token does not have the lock
-- Atomic, one slot; asked again it changes nothing.
local owner = redis.call('GET', KEYS[1])
-- The "+" is of a plain lock: see _lock.
if owner ~= ARGV[1] and owner ~= ARGV[1] .. '+' then
  return 0
end
local last = redis.call('GET', KEYS[2])
if not last then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', 86400000)
elseif tonumber(last) < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[2], ARGV[2], 'KEEPTTL')
end
return 1
