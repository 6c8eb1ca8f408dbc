-- Send a message to a group: once, whoever is in it.
--
-- KEYS[1], KEYS[2]  as in _layer
-- KEYS[3]  the group: a sorted set of processes (their names end in "!") and of channels
--          that several may read, each by the time its membership is over: milliseconds
-- ARGV[1]  the message
-- ARGV[2]  for how long it is kept, milliseconds
-- ARGV[3]  how many are kept, roughly
-- ARGV[4]  the channel to publish to
-- ARGV[5]  1: it is a sharded one
-- Reply    the channels that several may read: their messages are the caller's to send
-- Atomic, one slot.
--@include _layer
local now = now_in_us()
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', exactly(now / 1000))
local queues, listens = {}, false
for _, name in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  if string.sub(name, -1) == '!' then
    listens = true
  else
    queues[#queues + 1] = name
  end
end
if listens then
  forget(now, ARGV[2])
  append(now, ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5])
end
return queues
