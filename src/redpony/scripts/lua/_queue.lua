-- A channel that several processes may read. Included, never run alone.
--
-- KEYS[1]  the queue: a list of messages, each after the time it was sent
--          (microseconds, server's clock) and a space
--@include _layer

local function is_over(item, now, expiry)
  local sent = tonumber(string.match(item, '^%d+'))
  return sent < now - tonumber(expiry) * 1000
end
