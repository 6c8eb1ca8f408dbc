-- Append a message to a channel, and say it to whoever listens.
--
-- KEYS     as in _position
-- KEYS[3]  what was published for an idempotency key, where there is one
-- ARGV[1]  the message
-- ARGV[2]  how many messages are kept, at least
-- ARGV[3]  for how long, milliseconds
-- ARGV[4]  for how long its position is, milliseconds
-- ARGV[5]  1: say it to those who listen in this slot, as on a cluster
-- ARGV[6]  the last position that the publisher knows of, or ''
-- ARGV[7]  for how long the idempotency key is, milliseconds
-- Reply    the message's position
-- Atomic, one slot. With an idempotency key it may be asked again.
--@include _publish
if KEYS[3] then
  local before = redis.call('GET', KEYS[3])
  if before then
    return before
  end
end
local at = publish(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
if KEYS[3] then
  redis.call('SET', KEYS[3], at, 'PX', ARGV[7])
end
return at
