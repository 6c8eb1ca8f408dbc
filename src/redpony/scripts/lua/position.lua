-- Say where a channel is. Where the server has forgotten what somebody has seen, a new
-- epoch begins, so that nothing is said twice under one number.
--
-- KEYS     as in _position
-- ARGV[1]  the last position that the caller knows of, or ''
-- ARGV[2]  for how long a position is kept, milliseconds
-- Reply    the position of the last message; '' where there was none ever
-- Atomic, one slot; asked again it changes nothing.
--@include _position
local found = redis.call('GET', KEYS[2])
if ARGV[1] == '' or found == ARGV[1] then
  return found or ''
end
local epoch, offset = position(ARGV[1], found)
local at = string.format('%.0f-%.0f', epoch, offset)
if at ~= found then
  redis.call('SET', KEYS[2], at, 'PX', ARGV[2])
end
return at
