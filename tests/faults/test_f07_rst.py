"""F7: the connection is reset: idle, while it is opened, and in the middle."""

from __future__ import annotations

import pytest

from redpony.errors import Unavailable
from tests.faults.network import Network, goes_on_without

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}


@pytest.fixture
def place(place):
    with Network(place) as network:
        yield network


def reset_all(place):
    place.hurt("reset_peer")
    place.heal()


def test_nobody_hears_of_it_when_it_was_idle(place, caller):
    cache = caller(place.cache(**place.exact))
    assert cache.set("key", "value")
    for count in range(1, 6):
        reset_all(place)
        assert cache.get("key") == "value"
        reset_all(place)
        assert cache.incr("n", ignore_key_check=True) == count
        reset_all(place)
        assert cache.set("key", "value")
    assert cache.breakers == {"closed"}


def test_whoever_is_reset_while_connecting_has_sent_nothing(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 1000}))
    place.hurt("reset_peer")
    for method, args in (("get", ("key",)), ("set", ("key", 1)), ("get", ("key",))):
        met = cache.meets(method, *args)
        assert isinstance(met, Unavailable)
        assert met.outcome == "not_sent"
    place.heal()
    # In the middle of the greeting it is the same.
    place.hurt("limit_data", 20, reset=True)
    assert cache.meets("set", "key", 1).outcome == "not_sent"
    place.heal()
    place.quiet()
    assert sum(place.ask("DBSIZE")) == 0


@pytest.mark.parametrize("size", [0, 1, 10])
def test_a_read_that_is_reset_in_its_reply_is_asked_again(size, place, caller):
    cache = caller(place.cache(**place.exact))
    value = "x" * 1000
    assert cache.set("key", value)
    assert cache.get("key") == value
    place.hurt("limit_data", size, reset=True)
    with place.healed_by_the_first_loss():
        assert cache.get("key") == value
    assert cache.get_many(["key"]) == {"key": value}
    place.hurt("limit_data", size, reset=True)
    with place.healed_by_the_first_loss():
        assert cache.get_many(["key"]) == {"key": value}


@pytest.mark.topologies("single")
def test_a_read_without_repetition_says_that_it_was_lost(place, caller):
    cache = caller(place.cache(**place.exact, RETRIES=0, BREAKER={"FAILURES": 1000}))
    assert cache.set("key", "value")
    # Every repetition, were there one, would meet a network that is whole.
    place.hurt("limit_data", 0, reset=True)
    with place.healed_by_the_first_loss():
        met = cache.meets("get_many", ["key"])
    assert type(met) is Unavailable
    assert met.outcome == "unknown"


def test_a_write_that_is_reset_in_its_reply_has_happened_once(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 1000}))
    for count in range(1, 5):
        assert cache.set("key", "value")
        assert cache.incr("n", 0, ignore_key_check=True) == count - 1
        place.hurt("limit_data", count - 1, reset=True)
        with place.healed_by_the_first_loss():
            met = cache.meets("incr", "n", ignore_key_check=True)
        assert type(met) is Unavailable
        assert met.outcome == "unknown"
        place.quiet()
        assert cache.get("n") == count


def test_a_write_that_is_reset_on_its_way_has_not_happened(place, caller):
    cache = caller(place.cache(**place.exact, BREAKER={"FAILURES": 1000}))
    assert cache.incr("n", ignore_key_check=True) == 1
    # The request ends within itself, whatever it is routed by.
    place.hurt("limit_data", 10, stream="upstream", reset=True)
    with place.healed_by_the_first_loss():
        met = cache.meets("incr", "n", ignore_key_check=True)
    assert type(met) is Unavailable
    assert met.outcome == "unknown"
    place.quiet()
    assert cache.get("n") == 1


def test_a_site_that_goes_on_without_is_answered(place, caller):
    goes_on_without(place, caller, "reset_peer")


def test_a_crowd_is_right_while_its_connections_are_reset(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        for size in range(30):
            load.answers(20)
            place.hurt("limit_data", 20 * size, reset=True)
            load.until(lambda: place.total("open") == 0 or load.failed, 0.02)
            place.heal()
            reset_all(place)
        load.go_on()
    figures = load.verdict()
    assert figures["answered"] > figures["unknown"] > 0
