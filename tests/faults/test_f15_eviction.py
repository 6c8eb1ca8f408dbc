"""F15: the server evicts what we have stored."""

from __future__ import annotations

import itertools

import pytest
from redis.exceptions import LockNotOwnedError

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

ROOM = 20_000_000
"""Bytes that the servers may take on top of what they have.

Buffers for replicas and clients come out of it, and cannot be evicted.
"""


def shrink(place):
    """Have the servers evict, from a little more than they hold already."""
    used = max(server.info("memory")["used_memory"] for server in place.servers)
    place.configure("maxmemory-policy", "allkeys-lru")
    place.configure("maxmemory", used + ROOM)


def evicted(place):
    return sum(server.info("stats")["evicted_keys"] for server in place.primaries)


def test_what_was_evicted_is_a_miss(place, caller):
    cache = caller(place.cache(**place.exact))
    shrink(place)
    assert cache.set("first", "value")
    for number in itertools.count():
        assert cache.set(f"filler:{number}", "x" * 100_000)
        if cache.get(f"filler:{number - 50}") is None and not cache.has_key("first"):
            break
    assert evicted(place) > 0
    assert cache.get("first", "default") == "default"
    assert cache.get_or_set("first", lambda: "made") == "made"
    assert cache.breakers == {"closed"}


def test_a_lock_that_was_evicted_is_told_to_its_holder_once(place):
    cache = place.cache()
    shrink(place)
    lock = cache.lock("job", timeout=60)
    assert lock.acquire()
    for number in itertools.count():
        assert cache.set(f"filler:{number}", "x" * 100_000)
        if not lock.owned():
            break
    with pytest.raises(LockNotOwnedError):
        lock.release()
    # Nobody is locked out by it.
    with cache.lock("job", timeout=60, blocking_timeout=1):
        pass


def test_a_crowd_under_eviction_meets_misses_and_no_errors(place, workload):
    shrink(place)
    mix = {"get": 4, "get_many": 1, "set": 8, "delete": 1, "incr": 2}
    cache = place.cache(**place.exact)
    with workload(cache, mix=mix, size=600) as load:
        load.until(lambda: evicted(place) > 50)
        load.until(lambda: any(each.ledger.figures["lost"] for each in load.workers))
    figures = load.verdict(may_lose=True)
    assert figures["answered"] == figures["operations"]
    assert figures["lost"] > 0
