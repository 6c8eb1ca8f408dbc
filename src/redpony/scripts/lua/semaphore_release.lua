-- Give a place of a semaphore back, or leave its line, and let in who is next.
--
-- KEYS     as in _semaphore
-- ARGV[1]  the token
-- ARGV[2]  what there is room for
-- Reply    1 if the token had a place, 0 if not
-- Atomic, one slot; asked again it changes nothing.
--@include _semaphore
local token = ARGV[1]
local now = now_in_us()
local sum = weigh(now)
redis.call('ZREM', KEYS[2], token)
redis.call('ZREM', KEYS[3], token)
redis.call('DEL', mailbox_of(token))
local had = redis.call('ZREM', KEYS[1], token)
if had == 1 then
  sum = sum - weight(token)
end
settle(now, grant(now, sum, tonumber(ARGV[2])))
return had
