-- Say who is on a channel, or not any more. Whoever is the first of a user to come, or the
-- last to go, is told to all who read the channel, by a message of their own.
--
-- KEYS     as in _position
-- KEYS[3]  who is there: a sorted set, member by deadline (milliseconds, server's clock);
--          a member is a connection, a tab, a user, a tab, and what else is told of him
-- KEYS[4]  how many connections each user has: a hash
-- ARGV[1]  1: they are here (again); 0: they have gone
-- ARGV[2]  for how long they are here after this, milliseconds
-- ARGV[3]  to ARGV[6]: how messages are published: size, ttl, lives, sharded
-- ARGV[7]  the heads of messages that tell of who came, and ARGV[8] of who has gone
-- ARGV[9]  and on: the members
-- Reply    how many users have come or gone
-- Atomic, one slot; asked again it changes nothing but times.
--@include _publish
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local told = 0

local function tell(head, about)
  publish(head .. '\n' .. about, ARGV[3], ARGV[4], ARGV[5], ARGV[6], '')
  told = told + 1
end

local function parts(member)
  return string.match(member, '^[^\t]*\t([^\t]*)\t(.*)$')
end

local function go(member)
  if redis.call('ZREM', KEYS[3], member) == 1 then
    local user, about = parts(member)
    if redis.call('HINCRBY', KEYS[4], user, -1) <= 0 then
      redis.call('HDEL', KEYS[4], user)
      tell(ARGV[8], about)
    end
  end
end

for each = 9, #ARGV do
  local member = ARGV[each]
  if ARGV[1] == '0' then
    go(member)
  elseif redis.call('ZADD', KEYS[3], string.format('%.0f', now + ARGV[2]), member) == 1 then
    local user, about = parts(member)
    if redis.call('HINCRBY', KEYS[4], user, 1) == 1 then
      tell(ARGV[7], about)
    end
  end
end
local over = string.format('(%.0f', now)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', over)) do
  go(member)
end
redis.call('PEXPIRE', KEYS[3], ARGV[2] * 2)
redis.call('PEXPIRE', KEYS[4], ARGV[2] * 2)
return told
