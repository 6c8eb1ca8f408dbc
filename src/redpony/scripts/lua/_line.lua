-- A line of waiters. Included, never run alone.
--
-- KEYS[1]  what they wait for
-- KEYS[2]  the queue: a sorted set, token by ticket (microseconds, server's clock)
-- KEYS[3]  who is alive: a sorted set, token by deadline (milliseconds)
-- KEYS[4]  the last fence: decimal text
-- All lie in one slot, and so do the mailboxes, one a waiter.
--
-- What a script gives a time it does not look at again. Redis 7.0 counts a time from the
-- clock as it is then, and asks whether it is over by the clock at the script's begin: if
-- the clock is set back in between, the script finds gone what it has just written.

local function now_in_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A hybrid logical clock (Kulkarni et al., 2014): the later of the server's clock and
-- one more than the last, so that it also grows over a loss of all data and over a
-- clock that was set back. Below 2^53 until the year 2255. It lives for a day.
local function next_fence(now)
  local last = redis.call('SET', KEYS[4], now, 'PX', 86400000, 'GET')
  if last and tonumber(last) >= now then
    now = tonumber(last) + 1
    redis.call('SET', KEYS[4], now, 'PX', 86400000)
  end
  return now
end

local function last_fence()
  return tonumber(redis.call('GET', KEYS[4]) or next_fence(now_in_us()))
end

-- How long a waiter that is given the lock has it before it has said that it knows.
local function grant_lasts(token)
  return string.match(token, '^r[np]%.[^.]+%.(%d+)%.') or '2000'
end

-- Beside the queue, whose key ends in "queue".
local function mailbox_of(token)
  return string.sub(KEYS[2], 1, -6) .. 'wake:' .. token
end

-- Write to a waiter, which may not be listening yet; whom this script has written to.
local fence_of = {}

local function write_to(token, fence, lasts)
  local mailbox = mailbox_of(token)
  fence_of[token] = fence
  redis.call('DEL', mailbox)
  redis.call('RPUSH', mailbox, fence)
  redis.call('PEXPIRE', mailbox, lasts)
end

local function line_up(token, now, waited, lives)
  local alive = math.floor(now / 1000) + lives
  redis.call('ZADD', KEYS[2], 'NX', now - waited, token)
  redis.call('ZADD', KEYS[3], alive, token)
  -- Nobody's queue is left behind: it lives as long as its last waiter may.
  redis.call('PEXPIRE', KEYS[2], lives * 2)
  redis.call('PEXPIRE', KEYS[3], lives * 2)
end
