-- Say who is on a channel.
--
-- KEYS[1]  who is there, as in presence
-- Reply    the members whose time is not over
-- Atomic, one slot; it changes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', now), '+inf')
