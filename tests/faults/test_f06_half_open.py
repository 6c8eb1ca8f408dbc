"""F6: a half-open connection: it was accepted, and nothing ever comes back."""

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
def test_a_connection_that_is_never_greeted_costs_the_connect_timeout(place, caller):
    cache = caller(
        place.cache(**place.exact, CONNECT_TIMEOUT=0.3, BREAKER={"FAILURES": 1000})
    )
    place.hurt("timeout")
    for method, args in (("get", ("key",)), ("set", ("key", 1)), ("get", ("key",))):
        met = cache.meets(method, *args)
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"
    assert place.total("accepted") > 0
    place.heal()
    place.quiet()
    assert sum(place.ask("DBSIZE")) == 0


def test_whoever_was_never_greeted_has_sent_nothing(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 1000}))
    place.hurt("timeout")
    for method, args in (("get", ("key",)), ("set", ("key", 1)), ("get", ("key",))):
        met = cache.meets(method, *args)
        assert isinstance(met, Unavailable)
        assert met.outcome == "not_sent"
    place.heal()
    while isinstance(found := cache.tries("get", "key"), Unavailable):
        pass
    assert found is None


def test_a_command_without_an_answer_has_happened_once(place, caller):
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    for count in range(1, 4):
        while isinstance(cache.tries("get", "n"), Unavailable):
            pass
        place.hurt("timeout")
        met = cache.meets("incr", "n", ignore_key_check=True)
        assert isinstance(met, DeadlineExceeded)
        assert met.outcome == "unknown"
        place.heal()
        place.quiet()
        while isinstance(found := cache.tries("get", "n"), Unavailable):
            pass
        # The server has heard it: it is the answer that was lost.
        assert found == count


def test_a_command_that_got_lost_has_not_happened(place, caller):
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    assert cache.incr("n", ignore_key_check=True) == 1
    place.hurt("timeout", stream="upstream")
    assert cache.meets("incr", "n", ignore_key_check=True).outcome == "unknown"
    place.heal()
    place.quiet()
    while isinstance(found := cache.tries("get", "n"), Unavailable):
        pass
    assert found == 1


def test_an_answer_that_comes_late_is_nobodys(place, caller):
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    assert cache.set_many({f"key{number}": number for number in range(8)}) == []
    for number in range(8):
        place.hurt("stall")
        met = cache.meets("get", f"key{number}")
        assert isinstance(met, DeadlineExceeded)
        place.heal()
        for other in range(8):
            while isinstance(found := cache.tries("get", f"key{other}"), Unavailable):
                pass
            assert found == other


def test_a_few_callers_pay_and_the_others_hear_at_once(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"COOLDOWN": 30}))
    assert cache.set("key", "value")
    place.hurt("timeout")
    for _ in range(50):
        cache.meets("get", "key")
    held = []
    for _ in range(100):
        assert isinstance(cache.meets("get", "key"), CircuitOpen)
        held.append(cache.last)
    assert statistics.median(held) < 0.001
    place.heal()


def test_a_connection_that_the_server_gives_up_late_is_not_used_again(place, caller):
    cache = caller(place.cache(**place.exact, DEADLINE=0.2, BREAKER={"FAILURES": 1000}))
    assert cache.incr("n", ignore_key_check=True) == 1
    place.hurt("slow_close", 3_600_000)
    place.drop_clients()
    # Nobody was told: what is sent now is lost.
    met = cache.tries("incr", "n", ignore_key_check=True)
    assert isinstance(met, Unavailable)
    assert met.outcome == "unknown"
    place.heal()
    while isinstance(found := cache.tries("get", "n"), Unavailable):
        pass
    assert found == 1


def test_a_site_that_goes_on_without_is_answered(place, caller):
    goes_on_without(place, caller, "timeout")


def test_a_crowd_is_held_for_the_deadline_at_most(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        for fault in ({}, {"stream": "upstream"}):
            load.go_on()
            place.hurt("timeout", **fault)
            load.fails(100)
            place.heal()
        load.go_on(3)
    figures = load.verdict()
    assert figures["unknown"] > 0
