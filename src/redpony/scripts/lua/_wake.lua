-- Waiters that are woken all at once. Included, never run alone.
--
-- KEYS[1]  what they wait for
-- KEYS[2]  who waits: a sorted set, token by deadline (milliseconds, server's clock)
-- All lie in one slot, and so do the mailboxes: what ARGV[2] begins, a token ends.

-- For how long a token is answered again what it was told, milliseconds.
local REMEMBERS = 15000

local function now_in_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What a token was told, or false.
local told_now = {}
local function told(token)
  return told_now[token] or redis.call('LINDEX', ARGV[2] .. token, 0)
end

-- Twice: one is for who waits, and one is there if that gets lost.
local function tell(token, message)
  local mailbox = ARGV[2] .. token
  told_now[token] = message
  redis.call('RPUSH', mailbox, message, message)
  redis.call('PEXPIRE', mailbox, REMEMBERS)
end

-- The last that is done with this key: see _line for times.
local function stand(token, now, lives)
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + lives), token)
  -- Nobody's is left behind: it lives as long as the last of them may.
  redis.call('PEXPIRE', KEYS[2], lives * 2)
end
