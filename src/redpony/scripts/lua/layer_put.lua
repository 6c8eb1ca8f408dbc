-- Send a message to a channel that several processes may read.
--
-- KEYS     as in _queue
-- ARGV[1]  the message
-- ARGV[2]  for how long it is kept, milliseconds
-- ARGV[3]  how many may lie unread
-- ARGV[4]  the channel on which readers are woken
-- ARGV[5]  1: it is a sharded one
-- Reply    1 sent; 0 so many lie there already
-- Atomic, one slot.
--@include _queue
local now = now_in_us()
local first = redis.call('LINDEX', KEYS[1], 0)
while first and is_over(first, now, ARGV[2]) do
  redis.call('LPOP', KEYS[1])
  first = redis.call('LINDEX', KEYS[1], 0)
end
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('RPUSH', KEYS[1], exactly(now) .. ' ' .. ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
say(ARGV[4], ARGV[5], '')
return 1
