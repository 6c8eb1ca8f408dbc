-- Say how many wait at a barrier, and whether it is broken.
--
-- KEYS     as in _barrier
-- Reply    {how many, 1 if it is broken}
-- Atomic, one slot; changes nothing.
return {redis.call('ZCARD', KEYS[2]), redis.call('HEXISTS', KEYS[1], 'broken')}
