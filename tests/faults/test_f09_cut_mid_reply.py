"""F9: the connection is cut in the middle of a reply, or of a request, at every byte."""

from __future__ import annotations

import random

import pytest

from redpony.errors import Unavailable
from tests.faults.network import Network

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

ONCE = {"RETRIES": 0, "BREAKER": {"FAILURES": 10**6}}
"""Each cut is to be met: neither repeated nor forestalled."""

BOTH = {"key": {"a": [1, None]}, "number": 12345}

READS = {
    "get": ("get", ("key",), BOTH["key"]),
    "get an integer": ("get", ("number",), BOTH["number"]),
    "get nothing": ("get", ("missing", "default"), "default"),
    "get_many": ("get_many", (["key", "number", "missing"],), BOTH),
    "has_key": ("has_key", ("key",), True),
    "ttl": ("ttl", ("number",), None),
    "lrange": ("lrange", ("list", 0, -1), ["a", 2]),
    "smembers": ("smembers", ("set",), {"a", 2}),
    "hgetall": ("hgetall", ("hash",), {"f": "v", "g": 2}),
}


@pytest.fixture
def place(place):
    with Network(place) as network:
        yield network


def fill(cache):
    cache.set_many(BOTH, None)
    cache.rpush("list", "a", 2)
    cache.sadd("set", "a", 2)
    cache.hset("hash", "f", "v")
    cache.hset("hash", "g", 2)


def size_of(place, counter, call):
    """Return how many bytes a call moves over the network, one way.

    It is called four times: what its connection needs in the beginning does not
    count, nor what whoever watches the topology says meanwhile.
    """
    call()
    moved = []
    for _ in range(3):
        before = place.total(counter)
        call()
        moved.append(place.total(counter) - before)
    return min(moved)


def cut(place, size, call, **how):
    """Return what a call comes to whose connection is cut after so many bytes."""
    place.hurt("limit_data", size, **how)
    with place.healed_by_the_first_loss():
        return call()


@pytest.mark.topologies("single")
@pytest.mark.parametrize("name", READS)
def test_a_reply_that_is_cut_anywhere_is_never_a_value(name, place, caller):
    method, args, expected = READS[name]
    cache = caller(place.cache(**place.exact, **ONCE))
    fill(cache)
    size = size_of(place, "to_client", lambda: getattr(cache, method)(*args))
    assert size > 2
    cuts = 0
    for end in range(size):
        assert getattr(cache, method)(*args) == expected
        met = cut(place, end, lambda: cache.tries(method, *args))
        if isinstance(met, Unavailable):
            cuts += 1
        else:
            assert met == expected
    assert getattr(cache, method)(*args) == expected
    # But for the read that asyncio's shortest path hands on to its plan.
    assert cuts == size or method == "get"


def test_a_read_is_asked_again_wherever_its_reply_was_cut(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 10**6}))
    fill(cache)
    for method, args, expected in (READS["get"], READS["get_many"]):
        call = lambda: getattr(cache, method)(*args)  # noqa: B023
        size = size_of(place, "to_client", call)
        for end in range(0, size, 3):
            assert call() == expected
            assert cut(place, end, call) == expected


WRITES = {
    "incr": (("n", 1, None, True), lambda cache: cache.get("n")),
    "rpush": (("n", "x"), lambda cache: cache.llen("n")),
}


@pytest.mark.parametrize("method", WRITES)
def test_a_write_whose_reply_is_cut_has_happened_once(method, place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 10**6}))
    args, effects = WRITES[method]
    size = size_of(place, "to_client", lambda: getattr(cache, method)(*args))
    expected = effects(cache)
    for end in range(size):
        met = cut(place, end, lambda: cache.tries(method, *args))
        # It was the reply that was cut: the server had done it.
        expected += 1
        assert effects(cache) == expected
        if met != expected:
            assert type(met) is Unavailable
            assert met.outcome == "unknown"


@pytest.mark.parametrize("method", WRITES)
def test_a_write_whose_request_is_cut_has_not_happened(method, place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 10**6}))
    args, effects = WRITES[method]
    size = size_of(place, "to_server", lambda: getattr(cache, method)(*args))
    expected = effects(cache)
    cuts = 0
    for end in range(size):
        met = cut(place, end, lambda: cache.tries(method, *args), stream="upstream")
        if isinstance(met, Unavailable):
            cuts += 1
            assert met.outcome == "unknown"
        else:
            # Whoever watches the topology was cut first, and the network healed.
            expected += 1
            assert met == expected
        assert effects(cache) == expected
    place.quiet()
    assert effects(cache) == expected
    assert cuts == size or (place.topology != "single" and cuts > size / 2)


def test_a_crowd_is_right_while_its_connections_are_cut(place, workload):
    chance = random.Random(9)
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        for _ in range(60):
            load.answers(20)
            stream = chance.choice(["downstream", "upstream"])
            place.hurt("limit_data", chance.randrange(600), stream=stream)
            load.fails(1)
            place.heal()
        load.go_on()
    figures = load.verdict()
    assert figures["unknown"] > 10
