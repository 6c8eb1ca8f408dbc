"""F8: a slow network: delays, jitter, single bytes, little bandwidth."""

from __future__ import annotations

import pytest

from redpony.errors import DeadlineExceeded, Unavailable
from tests.faults.network import Network

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

PATIENT = {"DEADLINE": 30, "CONNECT_TIMEOUT": 30}
"""For lines that are slow and no more: a slow machine must not add a failure."""

SLOW = {
    "late": [("latency", (20,), {"jitter": 20})],
    "late both ways": [
        ("latency", (10,), {"jitter": 10}),
        ("latency", (10,), {"jitter": 10, "stream": "upstream"}),
    ],
    "single bytes": [("slicer", (1,), {})],
    "single bytes both ways": [
        ("slicer", (1,), {}),
        ("slicer", (1,), {"stream": "upstream"}),
    ],
    "slices with pauses": [("slicer", (400, 399, 200), {})],
    "narrow": [("bandwidth", (2000,), {})],
    "all of it": [
        ("latency", (5,), {"jitter": 5}),
        ("slicer", (500, 499, 100), {}),
        ("bandwidth", (2000,), {}),
    ],
}


@pytest.fixture
def place(place):
    with Network(place) as network:
        yield network


def make_slow(place, name):
    for fault, args, how in SLOW[name]:
        place.hurt(fault, *args, **how)


VALUES = {
    "text": "Grüße, 世界\r\n$5\r\n",
    "bytes": bytes(range(256)),
    "integer": -(2**63),
    "nothing": None,
    "nested": {"a": [1, 2.5, ("b", None)]},
    "large": "x" * 5_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_every_answer_is_right_however_it_arrives(name, place, caller):
    cache = caller(place.cache(**place.exact, **PATIENT))
    make_slow(place, name)
    assert cache.set_many(VALUES) == []
    for key, value in VALUES.items():
        assert cache.get(key, "default") == value
    assert cache.get_many([*VALUES, "missing"]) == VALUES
    assert [cache.incr("n", ignore_key_check=True) for _ in range(3)] == [1, 2, 3]
    assert cache.rpush("list", "a", "b") == 2
    assert cache.lrange("list", 0, -1) == ["a", "b"]
    assert cache.delete("text") is True
    assert cache.get("text", "default") == "default"


def test_what_is_later_than_the_deadline_is_not_waited_for(place, caller):
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    assert cache.set("key", "value")
    place.hurt("latency", 3_600_000)
    met = cache.meets("get", "key")
    assert isinstance(met, DeadlineExceeded)
    assert met.outcome == "unknown"
    place.heal()


def test_an_answer_that_trickles_in_is_held_to_the_same_deadline(place, caller):
    """A byte now and then is progress, and no reason to wait for ever."""
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    assert cache.set("key", "x" * 20_000)
    assert cache.set("small", "value")
    place.hurt("slicer", 1, delay_us=20_000)
    assert isinstance(cache.meets("get", "key"), DeadlineExceeded)
    # So is a greeting, when its connection has to be opened.
    place.heal()
    place.hurt("reset_peer")
    place.heal()
    place.hurt("slicer", 1, delay_us=20_000)
    assert isinstance(cache.meets("get", "small"), Unavailable)
    place.heal()
    while isinstance(found := cache.tries("get", "small"), Unavailable):
        pass
    assert found == "value"


def test_a_request_that_trickles_out_is_held_to_the_same_deadline(place, caller):
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    assert cache.set("key", "value")
    place.hurt("bandwidth", 10, stream="upstream")
    met = cache.meets("set", "key", b"x" * 20_000_000)
    assert isinstance(met, DeadlineExceeded)
    # Both are true: what did not leave as a whole cannot have been run.
    assert met.outcome in ("not_sent", "unknown")
    place.hurt("reset_peer")
    place.heal()
    place.quiet()
    while isinstance(found := cache.tries("get", "key"), Unavailable):
        pass
    assert found == "value"


def test_a_site_that_goes_on_without_is_answered(place, caller):
    cache = caller(place.cache(**place.exact, ON_ERROR="degrade"))
    assert cache.set("key", "value")
    place.hurt("latency", 3_600_000)
    for _ in range(10):
        assert cache.get("key", "default") == "default"
        assert cache.set("key", "later") is False
    place.heal()


def test_a_crowd_is_right_on_a_slow_line(place, workload):
    with workload(place.cache(**PATIENT)) as load:
        for name in SLOW:
            # A crowd's values are long: twenty thousand segments each would be a
            # test of this machine.
            if not name.startswith("single bytes"):
                make_slow(place, name)
                load.go_on(3)
                place.heal()
        place.hurt("slicer", 100, 99)
        place.hurt("slicer", 100, 99, stream="upstream")
        load.go_on(3)
        place.heal()
        load.go_on(3)
    figures = load.verdict()
    assert figures["answered"] == figures["operations"]


def test_a_crowd_is_right_where_the_line_is_as_slow_as_its_deadline(place, workload):
    options = {"DEADLINE": 0.1, "CONNECT_TIMEOUT": 0.5}
    with workload(place.cache(**options, BREAKER={"COOLDOWN": 0.05})) as load:
        load.go_on()
        place.hurt("latency", 80, jitter=60)
        load.fails(100)
        load.answers(20)
        place.heal()
        load.go_on(3)
    figures = load.verdict()
    assert figures["unknown"] > 0
