-- Withdraw a token from a lock: from its line, its mailbox, and its holder's place.
--
-- KEYS     as in _lock
-- ARGV[1]  the token
-- Reply    1 if it had the lock, 0 if not
-- Atomic, one slot; asked again it changes nothing.
--@include _lock
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', mailbox_of(ARGV[1]))
if not is_of(redis.call('GET', KEYS[1]), ARGV[1]) then
  return 0
end
if not grant(now_in_us()) then
  redis.call('DEL', KEYS[1])
end
return 1
