"""`ON_ERROR`: what each method answers when its server is unavailable.

For unavailability only, of the server or, where it is full, a replica or unable to
save, of its writes. Any other error reply, a value of the wrong type or a user's
exception is raised under either policy. Reads miss; writes report that they
failed; counters raise, because a caller who goes on with a number that is not
there does harm. A name that is not in the table raises.
"""

from __future__ import annotations

from typing import Any, Final

from django.core.cache.backends.base import CacheKeyWarning

RAISES: Final[Any] = object()

ANSWERS: Final[dict[str, Any]] = {
    # `get`, `get_many`, `set_many`, `get_or_set`, `hget`, `zadd`, `smismember` and those that
    # pop or pick a number of members answer from their arguments, in their plans.
    "set": False,
    "add": False,
    "delete": False,
    "delete_many": 0,
    "touch": False,
    "has_key": False,
    "clear": False,
    "incr": RAISES,
    "decr": RAISES,
    "incr_version": RAISES,
    "decr_version": RAISES,
    # Expiry
    "ttl": 0,
    "pttl": 0,
    "expire": False,
    "pexpire": False,
    "expire_at": False,
    "pexpire_at": False,
    "persist": False,
    # The key space
    "keys": [],
    "page": (b"0", []),
    "delete_pattern": 0,
    # Hashes
    "hmget": {},
    "hgetall": {},
    "hset": 0,
    "hsetnx": False,
    "hdel": 0,
    "hexists": False,
    "hkeys": [],
    "hvals": [],
    "hlen": 0,
    "hincrby": RAISES,
    # Sets
    "sadd": 0,
    "srem": 0,
    "scard": 0,
    "sismember": False,
    "smembers": set(),
    "smove": False,
    "spop": None,
    "srandmember": None,
    "sdiff": set(),
    "sinter": set(),
    "sunion": set(),
    "sdiffstore": 0,
    "sinterstore": 0,
    "sunionstore": 0,
    "sscan": set(),
    "sscan_page": (b"0", set()),
    # Sorted sets
    "zcard": 0,
    "zcount": 0,
    "zincrby": RAISES,
    "zpopmax": None,
    "zpopmin": None,
    "zrange": [],
    "zrevrange": [],
    "zrangebyscore": [],
    "zrevrangebyscore": [],
    "zrank": None,
    "zrevrank": None,
    "zrem": 0,
    "zremrangebyscore": 0,
    "zremrangebyrank": 0,
    "zscore": None,
    # Lists
    "lpush": 0,
    "rpush": 0,
    "lpop": None,
    "rpop": None,
    "llen": 0,
    "lrange": [],
    "lindex": None,
    "lset": False,
    "lrem": 0,
    "ltrim": False,
    "linsert": 0,
    "lpos": None,
    "lmove": None,
}


def fresh(answer: Any) -> Any:
    """Return an answer that its caller may keep and change."""
    if isinstance(answer, (list, set, dict)):
        return answer.copy()
    return answer


__all__ = ["ANSWERS", "RAISES", "CacheKeyWarning", "fresh"]
