-- Say who has places of a semaphore, and who waits for one.
--
-- KEYS     as in _semaphore; the last one is not needed
-- Reply    {{token, milliseconds its time has left, ...}; the last fence;
--          {token, microseconds of waiting, milliseconds it is alive yet, ...}}
-- Atomic, one slot; it changes nothing.
--@include _look
local now = now_in_us()
local holders = {}
local found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for place = 1, #found, 2 do
  local left = tonumber(found[place + 1]) - math.floor(now / 1000)
  if left >= 0 then
    holders[#holders + 1] = found[place]
    holders[#holders + 1] = left
  end
end
return {holders, redis.call('GET', KEYS[4]), look_at_line(now)}
