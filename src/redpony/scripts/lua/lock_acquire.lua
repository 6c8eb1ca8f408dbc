-- Take a lock, or stand in its line. Asked again with the same token it changes
-- nothing but the line's patience: a retry is safe, and is a waiter's sign of life.
--
-- KEYS     as in _lock
-- ARGV[1]  the token
-- ARGV[2]  what mailboxes begin with
-- ARGV[3]  the lease, milliseconds
-- ARGV[4]  for how long a waiter is alive after this, milliseconds; 0 does not wait,
--          and leaves the line
-- ARGV[5]  how long it has been waiting, microseconds
-- ARGV[6]  1: whoever has the lock at once is written to as well, because it listens
-- Reply    the fence, where the token has the lock;
--          {milliseconds that the holder's lease has left (-1: no end), its token}
-- Atomic, one slot.
local call, token = redis.call, ARGV[1]
local is_free = call('SET', KEYS[1], token, 'NX', 'PX', ARGV[3])
if is_free and ARGV[6] ~= '1' and call('EXISTS', KEYS[2]) == 0 then
  -- What most calls come to, before all else is even defined.
  local time = call('TIME')
  local now = time[1] * 1000000 + time[2]
  local last = call('SET', KEYS[4], now, 'PX', 86400000, 'GET')
  if last and tonumber(last) >= now then
    now = tonumber(last) + 1
    call('SET', KEYS[4], now, 'PX', 86400000)
  end
  return now
end
--@include _lock
local waits, now = tonumber(ARGV[4]), now_in_us()
local owner = call('GET', KEYS[1])
local fence = nil
if is_free then
  fence = next_fence(now)
  if call('EXISTS', KEYS[2]) == 1 then
    -- Its holder is gone, and others may have been here before.
    if waits > 0 then
      line_up(token, now, tonumber(ARGV[5]), waits)
    end
    owner, fence = grant(now)
    if not owner then
      owner, fence = token, next_fence(now)
      call('SET', KEYS[1], token, 'PX', ARGV[3])
    end
  end
end
if is_of(owner, token) then
  call('PEXPIRE', KEYS[1], ARGV[3])
  fence = fence or last_fence()
  if ARGV[6] == '1' then
    write_to(token, fence, grant_lasts(token))
  else
    call('DEL', ARGV[2] .. token)
  end
  return fence
end
if waits > 0 then
  line_up(token, now, tonumber(ARGV[5]), waits)
  if is_plain(owner) and string.sub(owner, -1) ~= '+' then
    call('SET', KEYS[1], owner .. '+', 'KEEPTTL')
  end
else
  call('ZREM', KEYS[2], token)
  call('ZREM', KEYS[3], token)
end
return {call('PTTL', KEYS[1]), owner}
