-- Give a lock back: to the caller's next waiter if it came first, or else to the
-- first in line. Asked again it changes nothing.
--
-- KEYS     as in _lock
-- ARGV[1]  the holder's token
-- ARGV[2]  the token of the next waiter in the holder's process, if there is one
-- ARGV[3]  how long that one is alive in line, milliseconds
-- ARGV[4]  how long it has been waiting, microseconds
-- Reply    1       released
--          {fence} released, and the next waiter has it
--          3       released, somebody else has it; the next waiter is in line
--          0       the token did not have the lock
-- Atomic, one slot.
local owner, following = redis.call('GET', KEYS[1]), ARGV[2]
if not following and owner == ARGV[1] and redis.call('EXISTS', KEYS[2]) == 0 then
  -- What most calls come to, before all else is even defined.
  redis.call('DEL', KEYS[1])
  return 1
end
--@include _lock
if not is_of(owner, ARGV[1]) then
  if following and is_of(owner, following) then
    return {last_fence()}
  end
  return 0
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local now = now_in_us()
if not following then
  if not (first[1] and grant(now)) then
    redis.call('DEL', KEYS[1])
  end
  return 1
end
local waited = tonumber(ARGV[4])
if first[1] and tonumber(first[2]) < now - waited then
  line_up(following, now, waited, tonumber(ARGV[3]))
  if grant(now) ~= following then
    return 3
  end
  -- All before it were dead.
  redis.call('DEL', mailbox_of(following))
  return {last_fence()}
end
redis.call('ZREM', KEYS[2], following)
redis.call('ZREM', KEYS[3], following)
hand_to(following)
return {next_fence(now)}
