-- Close a latch: it counts from the beginning, and who waits goes on waiting.
--
-- KEYS[1]  the latch, as in latch_wait; when it opened last is kept
-- Reply    how many fields are gone
-- Atomic; asked again it changes nothing.
return redis.call('HDEL', KEYS[1], 'total', 'left')
