-- Remember that something was done, or begun; what is remembered already stays.
--
-- KEYS[1]  the memory: a sealed value
-- ARGV[1]  what to remember
-- ARGV[2]  for how long, milliseconds
-- ARGV[3]  what it may take the place of, or ''
-- Reply    1 where this is remembered now, 0 where something else is
-- Atomic, one slot; asked again it changes nothing.
local found = redis.call('GET', KEYS[1])
if found == ARGV[1] then
  return 1
end
if found and found ~= ARGV[3] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
