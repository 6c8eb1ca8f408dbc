-- Appending to a channel. Included, never run alone.
--
-- KEYS  as in _position
--@include _position

-- Append a message, and say it to whoever listens. `size` messages are kept at least, for
-- `ttl` milliseconds, and the position for `lives`; 0 of them: it is said, and no more.
-- `sharded` is '1' where only those in this slot are to hear it.
local function publish(message, size, ttl, lives, sharded, seen)
  local at = '0-0'
  if size ~= '0' then
    at = redis.call('GET', KEYS[2])
    if at and at == seen then
      -- What the publisher knows is what we know: there is nothing to compare.
      local epoch, offset = string.match(at, '^(%d+)%-(%d+)$')
      at = epoch .. '-' .. string.format('%d', offset + 1)
    else
      local epoch, offset = position(seen, at)
      at = string.format('%.0f-%.0f', epoch, offset + 1)
    end
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', size, at, 'd', message)
    redis.call('SET', KEYS[2], at, 'PX', lives)
    redis.call('PEXPIRE', KEYS[1], ttl)
  end
  if sharded == '1' then
    redis.call('SPUBLISH', KEYS[1], at .. ' ' .. message)
  else
    redis.call('PUBLISH', KEYS[1], at .. ' ' .. message)
  end
  return at
end
