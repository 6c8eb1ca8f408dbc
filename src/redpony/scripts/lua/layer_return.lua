-- Give back what was taken from a channel and nobody wanted: to its head.
--
-- KEYS     as in _queue
-- ARGV[1]  for how long messages are kept, milliseconds
-- ARGV[2]  the channel on which readers are woken
-- ARGV[3]  1: it is a sharded one
-- ARGV[4]  and on: what was taken, in its order
-- Reply    how many
-- Atomic, one slot.
--@include _queue
for index = #ARGV, 4, -1 do
  redis.call('LPUSH', KEYS[1], ARGV[index])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
say(ARGV[2], ARGV[3], '')
return #ARGV - 3
