"""`ON_ERROR`: what each method does without a server, by the table."""

from __future__ import annotations

import socket

import pytest
import redis

from redpony import events
from redpony.cache.policy import ANSWERS, RAISES
from redpony.errors import Unavailable, WrongType

CALLS = {
    "get": (("k", "default"), "default"),
    "get_many": ((["a", "b"],), {}),
    "set_many": (({"a": 1, "b": 2},), ["a", "b"]),
    "get_or_set": (("k", lambda: "made"), "made"),
    "set": (("k", 1), False),
    "add": (("k", 1), False),
    "delete": (("k",), False),
    "delete_many": ((["a"],), 0),
    "touch": (("k",), False),
    "has_key": (("k",), False),
    "clear": ((), False),
    "incr": (("k",), RAISES),
    "decr": (("k",), RAISES),
    "incr_version": (("k",), RAISES),
    "decr_version": (("k",), RAISES),
    "ttl": (("k",), 0),
    "pttl": (("k",), 0),
    "expire": (("k", 1), False),
    "pexpire": (("k", 1), False),
    "expire_at": (("k", 1), False),
    "pexpire_at": (("k", 1), False),
    "persist": (("k",), False),
    "keys": (("*",), []),
    "delete_pattern": (("*",), 0),
    "page": ((b"0", "*"), (b"0", [])),
    "hget": (("k", "f"), None),
    "hmget": (("k", ["f"]), {}),
    "hgetall": (("k",), {}),
    "hset": (("k", "f", 1), 0),
    "hsetnx": (("k", "f", 1), False),
    "hdel": (("k", "f"), 0),
    "hexists": (("k", "f"), False),
    "hkeys": (("k",), []),
    "hvals": (("k",), []),
    "hlen": (("k",), 0),
    "hincrby": (("k", "f"), RAISES),
    "sadd": (("k", 1), 0),
    "srem": (("k", 1), 0),
    "scard": (("k",), 0),
    "sismember": (("k", 1), False),
    "smismember": (("k", 1, 2), [False, False]),
    "smembers": (("k",), set()),
    "smove": (("k", "l", 1), False),
    "spop": (("k",), None),
    "srandmember": (("k",), None),
    "sdiff": (("k", "l"), set()),
    "sinter": (("k", "l"), set()),
    "sunion": (("k", "l"), set()),
    "sdiffstore": (("k", "l"), 0),
    "sinterstore": (("k", "l"), 0),
    "sunionstore": (("k", "l"), 0),
    "sscan": (("k",), set()),
    "sscan_page": (("k", b"0", 1, None), (b"0", set())),
    "zadd": (("k", {"a": 1}), 0),
    "zcard": (("k",), 0),
    "zcount": (("k", 0, 1), 0),
    "zincrby": (("k", 1, "a"), RAISES),
    "zpopmax": (("k",), None),
    "zpopmin": (("k",), None),
    "zrange": (("k", 0, -1), []),
    "zrevrange": (("k", 0, -1), []),
    "zrangebyscore": (("k", 0, 1), []),
    "zrevrangebyscore": (("k", 1, 0), []),
    "zrank": (("k", "a"), None),
    "zrevrank": (("k", "a"), None),
    "zrem": (("k", "a"), 0),
    "zremrangebyscore": (("k", 0, 1), 0),
    "zremrangebyrank": (("k", 0, 1), 0),
    "zscore": (("k", "a"), None),
    "lpush": (("k", 1), 0),
    "rpush": (("k", 1), 0),
    "lpop": (("k",), None),
    "rpop": (("k",), None),
    "llen": (("k",), 0),
    "lrange": (("k",), []),
    "lindex": (("k", 0), None),
    "lset": (("k", 0, 1), False),
    "lrem": (("k", 0, 1), 0),
    "ltrim": (("k", 0, 1), False),
    "linsert": (("k", "before", 1, 2), 0),
    "lpos": (("k", 1), None),
    "lmove": (("k", "l"), None),
}

BY_ARGUMENTS = {
    "hget": (("k", "f", "default"), "default"),
    "zadd": (("k", {"a": 1}, False, False, False, True), RAISES),
}

COUNTED = {
    "spop": (("k", 2), set()),
    "srandmember": (("k", 2), []),
    "zpopmax": (("k", 2), []),
    "zpopmin": (("k", 2), []),
    "lpop": (("k", 2), []),
    "rpop": (("k", 2), []),
}


@pytest.fixture
def nobody() -> str:
    """Return the address of a port that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}/0"


def test_every_method_has_its_row():
    assert set(ANSWERS) <= set(CALLS)


@pytest.mark.parametrize(
    ("method", "args", "answer"),
    [
        (name, *row)
        for name, row in (*CALLS.items(), *COUNTED.items(), *BY_ARGUMENTS.items())
    ],
)
def test_a_method_degrades_by_the_table(cache_on, both, nobody, method, args, answer):
    cache = both(cache_on(None, LOCATION=nobody, ON_ERROR="degrade"))
    seen = []
    end = events.subscribe(seen.append, events.Degraded)
    try:
        if answer is RAISES:
            with pytest.raises(Unavailable):
                getattr(cache, method)(*args)
            assert seen == []
        else:
            assert getattr(cache, method)(*args) == answer
            assert {event.alias for event in seen} == {"default"}
            assert all(isinstance(event.error, Unavailable) for event in seen)
    finally:
        end()


@pytest.mark.parametrize(("method", "args"), [(n, r[0]) for n, r in CALLS.items()])
def test_a_method_raises_by_default(cache_on, both, nobody, method, args):
    cache = both(cache_on(None, LOCATION=nobody))
    with pytest.raises(Unavailable) as caught:
        getattr(cache, method)(*args)
    assert isinstance(caught.value, redis.exceptions.ConnectionError)
    assert caught.value.outcome == "not_sent"


def test_iteration_ends_when_it_degrades(cache_on, both, nobody):
    cache = both(cache_on(None, LOCATION=nobody, ON_ERROR="degrade"))
    assert list(cache.iter_keys("*")) == []
    assert list(cache.sscan_iter("k")) == []


def test_an_answer_belongs_to_its_caller(cache_on, both, nobody):
    cache = both(cache_on(None, LOCATION=nobody, ON_ERROR="degrade"))
    cache.smembers("k").add(1)
    assert cache.smembers("k") == set()


def test_error_replies_are_raised_under_either_policy(make_cache, both):
    cache = both(make_cache(ON_ERROR="degrade"))
    cache.rpush("list", 1)
    with pytest.raises(WrongType):
        cache.get("list")


def test_a_users_own_unavailable_is_not_taken_for_ours(make_cache, both):
    cache = both(make_cache(ON_ERROR="degrade"))

    def compute():
        raise Unavailable("the user's own")

    with pytest.raises(Unavailable, match="the user's own"):
        cache.get_or_set("key", compute)


def test_a_lock_always_raises(cache_on, nobody):
    cache = cache_on(None, LOCATION=nobody, ON_ERROR="degrade")
    with pytest.raises(redis.exceptions.ConnectionError), cache.lock("job"):
        pytest.fail("entered without a server")


def test_a_server_that_comes_back_is_used_again(cache_on, both, cold_server):
    server = cold_server()
    cache = both(cache_on(server, ON_ERROR="degrade", BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", 1)
    server.kill()
    for _ in range(5):
        assert cache.get("key", "miss") == "miss"
    server.start()
    for _ in range(1000):
        if cache.set("key", 2):
            break
    assert cache.get("key") == 2
