-- Count a latch down, and wake all who wait when it is at zero.
--
-- KEYS     as in _wake; the latch is a hash: total, left
-- ARGV[1]  the call's token
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  what it counts from
-- ARGV[4]  for how long it is kept from now on, milliseconds
-- ARGV[5]  by how much; 0 only looks
-- Reply    {1, what is left}; {-1, total} where it counts from something else
-- Atomic, one slot; asked again with the same token it counts no further.
--@include _wake
local before = told(ARGV[1])
if before then
  return {1, before}
end
local found = redis.call('HMGET', KEYS[1], 'total', 'left')
if found[1] and found[1] ~= ARGV[3] then
  return {-1, found[1]}
end
local left, by = tonumber(found[2] or ARGV[3]), tonumber(ARGV[5])
if by == 0 then
  return {1, string.format('%.0f', left)}
end
left = string.format('%.0f', math.max(left - by, 0))
redis.call('HSET', KEYS[1], 'total', ARGV[3], 'left', left)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if left == '0' then
  local now = string.format('%.0f', now_in_ms())
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf')) do
    tell(token, 'open')
  end
  redis.call('DEL', KEYS[2])
end
tell(ARGV[1], left)
return {1, left}
