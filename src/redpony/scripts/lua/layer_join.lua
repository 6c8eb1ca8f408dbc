-- Join a group, or stay in it for longer. Asked again it changes nothing but times.
--
-- KEYS     as in layer_group_send
-- ARGV[1]  who: a process, or a channel that several may read
-- ARGV[2]  for how long, milliseconds
-- Reply    the number of the last message, which came before: '0' if there was none
-- Atomic, one slot.
--@include _layer
local last = redis.call('GET', KEYS[2]) or '0'
local over = exactly(now_in_us() / 1000 + tonumber(ARGV[2]))
redis.call('ZADD', KEYS[3], 'GT', over, ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return last
