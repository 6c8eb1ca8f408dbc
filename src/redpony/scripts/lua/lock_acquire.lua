-- Take a lock, or stand in its line. Asked again with the same token it changes
-- nothing but the line's patience: a retry is safe, and is a waiter's sign of life.
--
-- KEYS     as in _lock
-- ARGV[1]  the token
-- ARGV[2]  the lease, milliseconds
-- ARGV[3]  for how long a waiter is alive after this, milliseconds; 0 does not wait,
--          and leaves the line
-- ARGV[4]  how long it has been waiting, microseconds; 0 if not given
-- ARGV[5]  1: whoever has the lock at once is written to as well, because it listens
-- Reply    the fence, where the token has the lock;
--          {milliseconds that the holder's lease has left (-1: no end), its token}
-- Atomic, one slot.
local token = ARGV[1]
local is_free = redis.call('SET', KEYS[1], token, 'NX', 'PX', ARGV[2])
if is_free and ARGV[5] ~= '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  -- What most calls come to, before all else is even defined.
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local last = redis.call('SET', KEYS[4], now, 'PX', 86400000, 'GET')
  if last and tonumber(last) >= now then
    now = tonumber(last) + 1
    redis.call('SET', KEYS[4], now, 'PX', 86400000)
  end
  return now
end
--@include _lock
local waits, now = tonumber(ARGV[3]), now_in_us()
local owner = is_free and token or redis.call('GET', KEYS[1])
local fence = nil
if is_free then
  fence = next_fence(now)
  if redis.call('EXISTS', KEYS[2]) == 1 then
    -- Its holder is gone, and others may have been here before.
    if waits > 0 then
      line_up(token, now, tonumber(ARGV[4] or 0), waits)
    end
    owner, fence = grant(now)
    if not owner then
      owner, fence = token, next_fence(now)
      redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
    end
  end
end
if is_of(owner, token) then
  hand_to(token, ARGV[2])
  fence = fence or last_fence()
  if ARGV[5] == '1' then
    write_to(token, fence, grant_lasts(token))
  else
    redis.call('DEL', mailbox_of(token))
  end
  return fence
end
if waits > 0 then
  line_up(token, now, tonumber(ARGV[4] or 0), waits)
  if is_plain(owner) and string.sub(owner, -1) ~= '+' then
    redis.call('SET', KEYS[1], owner .. '+', 'KEEPTTL')
  end
else
  redis.call('ZREM', KEYS[2], token)
  redis.call('ZREM', KEYS[3], token)
end
return {redis.call('PTTL', KEYS[1]), owner}
