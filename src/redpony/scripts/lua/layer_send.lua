-- Send a message to a process: to one of the channels that it alone reads.
--
-- KEYS     as in _layer; an entry that has been received is deleted from the log
-- ARGV[1]  the message
-- ARGV[2]  for how long it is kept, milliseconds
-- ARGV[3]  how many may lie unread; -1: as many as come
-- ARGV[4]  the channel to publish to
-- ARGV[5]  1: it is a sharded one
-- Reply    1 sent; 0 so many lie there already
-- Atomic, one slot.
--@include _layer
local now, capacity = now_in_us(), tonumber(ARGV[3])
forget(now, ARGV[2])
if capacity >= 0 and redis.call('XLEN', KEYS[1]) >= capacity then
  return 0
end
append(now, ARGV[1], ARGV[2], 0, ARGV[4], ARGV[5])
return 1
