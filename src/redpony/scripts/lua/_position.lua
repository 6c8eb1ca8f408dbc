-- Positions of channels, `epoch-offset`. Included, never run alone.
--
-- KEYS[1]  the stream of its last messages, and the name that they are said under
-- KEYS[2]  the position of the last one

local function parts(position)
  local epoch, offset = string.match(position, '^(%d+)%-(%d+)$')
  return tonumber(epoch), tonumber(offset)
end

-- Where the channel is: epoch and offset. Begins an epoch, without history, where nobody
-- knows; and where the server knows less than somebody has seen: it has forgotten what it
-- had said (a failover, a restart), and would say other things under the same numbers.
-- `at` is what KEYS[2] says.
local function position(seen, at)
  local epoch, offset, floor = nil, 0, 0
  if at then
    epoch, offset = parts(at)
    floor = epoch
  end
  if seen ~= '' then
    local last, count = parts(seen)
    floor = math.max(floor, last)
    if epoch and (last > epoch or (last == epoch and count > offset)) then
      epoch = nil
    end
  end
  if not epoch then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    epoch, offset = math.max(now, floor + 1), 0
    redis.call('DEL', KEYS[1])
  end
  return epoch, offset
end
