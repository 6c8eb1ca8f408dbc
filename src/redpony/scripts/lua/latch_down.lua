-- Count a latch down, and wake all who wait when it comes to zero.
--
-- KEYS     as in latch_wait
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
local found = redis.call('HMGET', KEYS[1], 'total', 'left', 'opened')
if found[1] and found[1] ~= ARGV[3] then
  return {-1, found[1]}
end
local was = tonumber(found[2] or ARGV[3])
local left = string.format('%.0f', math.max(was - tonumber(ARGV[5]), 0))
if ARGV[5] == '0' then
  return {1, left}
end
redis.call('HSET', KEYS[1], 'total', ARGV[3], 'left', left)
if left == '0' and was > 0 then
  local time = redis.call('TIME')
  local now = math.max(time[1] * 1000000 + time[2], tonumber(found[3] or 0) + 1)
  local opened = string.format('%.0f', now)
  redis.call('HSET', KEYS[1], 'opened', opened)
  for _, token in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    tell(token, opened)
  end
  redis.call('DEL', KEYS[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
tell(ARGV[1], left)
return {1, left}
