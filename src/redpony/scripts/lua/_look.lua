-- What there is to see of a line. Included, never run alone; it changes nothing.
--
-- KEYS     as in _line
--@include _line
-- Who waits, by ticket: token, microseconds of waiting, milliseconds it is alive yet.
local function look_at_line(now)
  local seen = {}
  local line = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
  for place = 1, #line, 2 do
    local alive = redis.call('ZSCORE', KEYS[3], line[place])
    seen[#seen + 1] = line[place]
    seen[#seen + 1] = now - tonumber(line[place + 1])
    seen[#seen + 1] = alive and tonumber(alive) - math.floor(now / 1000) or -1
  end
  return seen
end
