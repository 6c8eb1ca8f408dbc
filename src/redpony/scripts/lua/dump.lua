-- Read an entry as RESTORE takes it, with its time to live.
--
-- KEYS[1]  the entry
-- Reply    its dump and its PTTL in ms (-1: for ever); nil where the key is missing
-- Atomic, one slot. Changes nothing.
local data = redis.call('DUMP', KEYS[1])
if not data then
  return false
end
return {data, redis.call('PTTL', KEYS[1])}
