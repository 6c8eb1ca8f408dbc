-- What the scripts of a semaphore share. Included, never run alone.
--
-- KEYS[1]  its holders: a sorted set, token by deadline (milliseconds, server's clock)
-- KEYS[5]  the sum of their weights: decimal text; counted anew where it is missing,
--          and of nobody where there are no holders: a clock that is set back after
--          it was ahead can bring back the one key and not the other
-- The rest as in _line. A token says what it weighs.
--@include _line
local function weight(token)
  return tonumber(string.match(token, '^r[np]%.[^.]+%.%d+%.w(%d+)%.') or 1)
end

-- Let go of holders whose time is over; returns what the others weigh together.
local function weigh(now)
  local sum = tonumber(redis.call('GET', KEYS[5]) or -1)
  if sum > 0 and redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
  elseif sum < 0 then
    sum = 0
    for _, token in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
      sum = sum + weight(token)
    end
  end
  local over = string.format('(%.0f', math.floor(now / 1000))
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', over)) do
    redis.call('ZREM', KEYS[1], token)
    sum = sum - weight(token)
  end
  return sum
end

local function admit(token, now, lasts)
  local deadline = string.format('%.0f', math.floor(now / 1000) + lasts)
  redis.call('ZADD', KEYS[1], deadline, token)
end

-- Write down what the holders weigh; nothing outlives the last of them. Returns who is
-- the first whose time is over, and when. The last that is done with these keys.
local function settle(now, sum)
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
  if not last[1] then
    redis.call('DEL', KEYS[1], KEYS[5])
    return first
  end
  local lives = string.format('%.0f', math.max(last[2] - math.floor(now / 1000), 0) + 1000)
  redis.call('SET', KEYS[5], string.format('%.0f', sum), 'PX', lives)
  redis.call('PEXPIRE', KEYS[1], lives)
  return first
end

-- Let in who is first in line, for as long as there is room; returns what all weigh.
local function grant(now, sum, limit)
  while true do
    local first = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
    if not first then
      return sum
    end
    local alive = redis.call('ZSCORE', KEYS[3], first)
    local is_alive = alive and tonumber(alive) * 1000 >= now
    if is_alive and sum + weight(first) > limit then
      return sum
    end
    redis.call('ZREM', KEYS[2], first)
    redis.call('ZREM', KEYS[3], first)
    if is_alive then
      local lasts = grant_lasts(first)
      admit(first, now, lasts)
      sum = sum + weight(first)
      write_to(first, next_fence(now), lasts)
    end
  end
end
