-- What the scripts of a barrier share. Included, never run alone.
--
-- KEYS     as in _wake; the barrier is a hash: parties, and each token's index; or
--          broken. It is gone when all have come, so the next ones begin anew.
--@include _wake
-- Tell all who wait that it is broken, and for so many milliseconds who comes later.
local function break_up(lasts)
  for _, token in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    tell(token, 'broken')
  end
  redis.call('DEL', KEYS[1], KEYS[2])
  if lasts ~= '0' then
    redis.call('HSET', KEYS[1], 'broken', '1')
    redis.call('PEXPIRE', KEYS[1], lasts)
  end
end
