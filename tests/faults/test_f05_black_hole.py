"""F5: a connect black hole: the host is gone from the network."""

from __future__ import annotations

import statistics

import pytest

from redpony.errors import CircuitOpen, DeadlineExceeded, Unavailable, Unreachable
from tests.faults.network import Network, goes_on_without

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}


@pytest.fixture
def place(place):
    with Network(place) as network:
        yield network


@pytest.mark.topologies("single", "replicated")
def test_whoever_has_to_connect_is_held_for_the_connect_timeout(place, caller):
    cache = caller(
        place.cache(**place.exact, CONNECT_TIMEOUT=0.3, BREAKER={"FAILURES": 1000})
    )
    place.hurt("vanish")
    for method, args in (("get", ("key",)), ("set", ("key", 1)), ("get", ("key",))):
        met = cache.meets(method, *args)
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"
        assert "CONNECT_TIMEOUT" in str(met)
    place.heal()
    place.quiet()
    assert sum(place.ask("DBSIZE")) == 0


def test_whoever_was_never_connected_has_sent_nothing(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 1000}))
    place.hurt("vanish")
    for method, args in (("get", ("key",)), ("set", ("key", 1)), ("get", ("key",))):
        met = cache.meets(method, *args)
        assert isinstance(met, Unavailable)
        assert met.outcome == "not_sent"
    place.heal()
    while isinstance(found := cache.tries("get", "key"), Unavailable):
        pass
    assert found is None


def test_a_few_callers_pay_and_the_others_hear_at_once(place, caller):
    cache = caller(
        place.cache(**place.exact, CONNECT_TIMEOUT=0.2, BREAKER={"COOLDOWN": 30})
    )
    assert cache.set("key", "value")
    place.hurt("vanish")
    for _ in range(50):
        cache.meets("get", "key")
    held = []
    for _ in range(100):
        assert isinstance(cache.meets("get", "key"), CircuitOpen)
        held.append(cache.last)
    assert statistics.median(held) < 0.001
    place.heal()


def test_whoever_is_connected_meets_silence(place, caller):
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    assert cache.incr("n", ignore_key_check=True) == 1
    place.hurt("vanish")
    met = [cache.meets("incr", "n", ignore_key_check=True) for _ in range(3)]
    assert isinstance(met[0], DeadlineExceeded)
    assert met[0].outcome == "unknown"
    place.heal()
    place.quiet()
    # The network delivers late what it was given; nothing is sent twice.
    doubts = [each.outcome for each in met].count("unknown")
    while isinstance(found := cache.tries("get", "n"), Unavailable):
        pass
    assert found in range(1, 2 + doubts)
    assert cache.incr("n") == found + 1


def test_a_site_that_goes_on_without_is_answered(place, caller):
    goes_on_without(place, caller, "vanish")


def test_it_is_used_again_when_it_is_back(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", "value")
    place.hurt("vanish")
    assert isinstance(cache.meets("get", "key"), Unavailable)
    place.heal()
    while isinstance(found := cache.tries("get", "key"), Unavailable):
        pass
    assert found == "value"


def test_a_crowd_is_held_in_time_and_served_again(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        load.go_on()
        place.hurt("vanish")
        load.fails(200)
        place.heal()
        load.go_on(3)
    figures = load.verdict()
    assert figures["unknown"] > 0
    assert figures["not_sent"] > 0
