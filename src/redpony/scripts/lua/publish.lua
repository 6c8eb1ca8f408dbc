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
--@include _position
if KEYS[3] then
  local before = redis.call('GET', KEYS[3])
  if before then
    return before
  end
end
local at = redis.call('GET', KEYS[2])
if at and at == ARGV[6] then
  -- What the publisher knows is what we know: there is nothing to compare.
  local epoch, offset = string.match(at, '^(%d+)%-(%d+)$')
  at = epoch .. '-' .. string.format('%d', offset + 1)
else
  local epoch, offset = position(ARGV[6], at)
  at = string.format('%.0f-%.0f', epoch, offset + 1)
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], at, 'd', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], at, 'PX', ARGV[4])
if KEYS[3] then
  redis.call('SET', KEYS[3], at, 'PX', ARGV[7])
end
if ARGV[5] == '1' then
  redis.call('SPUBLISH', KEYS[1], at .. ' ' .. ARGV[1])
else
  redis.call('PUBLISH', KEYS[1], at .. ' ' .. ARGV[1])
end
return at
