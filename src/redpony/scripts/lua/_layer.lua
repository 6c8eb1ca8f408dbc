-- What a channel layer keeps of messages. Included, never run alone.
--
-- KEYS[1]  the log: a stream; an entry's id is its number, its field `m` the message
-- KEYS[2]  the last number: decimal text
-- Both lie in one slot, and so does the channel that is published to.
--
-- A message's number is the later of the server's clock (microseconds) and one more than
-- the last: it grows over a loss of all data, too. What is pushed says the number before
-- it as well, so that whoever listens knows whether it has missed something, and reads it
-- in the log. The number lives for a day.
--
-- What a script gives a time it does not look at again: see _line.

local function now_in_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function exactly(number)
  return string.format('%.0f', number)
end

local function say(channel, sharded, text)
  if sharded == '1' then
    redis.call('SPUBLISH', channel, text)
  else
    redis.call('PUBLISH', channel, text)
  end
end

-- Add a message to the log, and tell who listens.
local function append(now, message, expiry, longest, channel, sharded)
  local last = redis.call('SET', KEYS[2], exactly(now), 'PX', 86400000, 'GET')
  local number = now
  if last and tonumber(last) >= now then
    number = tonumber(last) + 1
    redis.call('SET', KEYS[2], exactly(number), 'PX', 86400000)
  end
  local id = exactly(number)
  if longest > 0 then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', longest, id .. '-0', 'm', message)
  else
    redis.call('XADD', KEYS[1], id .. '-0', 'm', message)
  end
  redis.call('PEXPIRE', KEYS[1], expiry)
  say(channel, sharded, (last or '0') .. ' ' .. id .. ' ' .. message)
end

-- Forget what nobody has read in time.
local function forget(now, expiry)
  redis.call('XTRIM', KEYS[1], 'MINID', exactly(now - tonumber(expiry) * 1000))
end
