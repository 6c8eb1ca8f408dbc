-- Take the first messages of a channel that several processes may read.
--
-- KEYS     as in _queue
-- ARGV[1]  how many
-- ARGV[2]  for how long they are kept, milliseconds
-- Reply    what was taken, as it lies there
-- Atomic, one slot.
--@include _queue
local now, taken = now_in_us(), {}
while #taken < tonumber(ARGV[1]) do
  local item = redis.call('LPOP', KEYS[1])
  if not item then
    break
  end
  if not is_over(item, now, ARGV[2]) then
    taken[#taken + 1] = item
  end
end
return taken
