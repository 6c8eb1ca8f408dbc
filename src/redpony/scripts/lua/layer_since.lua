-- Read what has come since a message.
--
-- KEYS[1], KEYS[2]  as in _layer
-- KEYS[3]  the group, if it is one's: who reads is in it, whatever the server has lost
-- ARGV[1]  that message's number
-- ARGV[2]  how many to read at once
-- ARGV[3]  who reads
-- ARGV[4]  for how long it remains in the group, milliseconds
-- Reply    {the last number, {{id, {'m', message}} ...}}
-- Atomic, one slot.
--@include _layer
local last = redis.call('GET', KEYS[2]) or '0'
local found = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
if KEYS[3] then
  local over = exactly(now_in_us() / 1000 + tonumber(ARGV[4]))
  redis.call('ZADD', KEYS[3], 'GT', over, ARGV[3])
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return {last, found}
