-- Say who has a lock, and who waits for it.
--
-- KEYS     as in _lock
-- Reply    {{token, milliseconds its lease has left (-1: no end)}, or {}; the last fence;
--          {token, microseconds of waiting, milliseconds it is alive yet, ...}}
-- Atomic, one slot; it changes nothing.
--@include _look
local holders = {}
local owner = redis.call('GET', KEYS[1])
if owner then
  holders = {owner, redis.call('PTTL', KEYS[1])}
end
return {holders, redis.call('GET', KEYS[4]), look_at_line(now_in_us())}
