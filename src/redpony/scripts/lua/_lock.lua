-- What the scripts of a lock share. Included, never run alone.
--
-- KEYS[1]  the lock: a plain string, its holder's token. To that of a plain lock's
--          holder, which begins with "rn.", a "+" is added while others wait: so it
--          learns, when it deletes its token, that it has to wake one.
-- The rest as in _line.
--@include _line
local function is_of(owner, token)
  return owner == token or owner == token .. '+'
end

local function is_plain(token)
  return string.sub(token, 1, 3) == 'rn.'
end

-- For so many milliseconds, or else for as long as one is granted it.
local function hand_to(token, lasts)
  local value = token
  if is_plain(token) and redis.call('EXISTS', KEYS[2]) == 1 then
    value = token .. '+'
  end
  redis.call('SET', KEYS[1], value, 'PX', lasts or grant_lasts(token))
end

-- Give a free lock to the first waiter that is alive; returns its token and fence.
local function grant(now)
  while true do
    local first = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
    if not first then
      return nil
    end
    local alive = redis.call('ZSCORE', KEYS[3], first)
    redis.call('ZREM', KEYS[2], first)
    redis.call('ZREM', KEYS[3], first)
    if alive and tonumber(alive) * 1000 >= now then
      hand_to(first)
      local fence = next_fence(now)
      write_to(first, fence, grant_lasts(first))
      return first, fence
    end
  end
end
