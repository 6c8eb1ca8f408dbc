-- What the scripts of a lock share. Included, never run alone.
--
-- KEYS[1]  the lock: a plain string, its holder's token
-- The rest as in _line.
--@include _line
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
      local lasts = grant_lasts(first)
      redis.call('SET', KEYS[1], first, 'PX', lasts)
      local fence = next_fence(now)
      local mailbox = ARGV[2] .. first
      redis.call('RPUSH', mailbox, fence)
      redis.call('PEXPIRE', mailbox, lasts)
      return first, fence
    end
  end
end
