"""F1: the server refuses connections."""

from __future__ import annotations

import statistics

from redpony.errors import CircuitOpen, Unavailable

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

SOON = 0.05
"""Seconds within which a caller hears that nobody is there."""


def test_the_error_says_that_nothing_was_sent(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    place.kill()
    for method, args in (("get", ("key",)), ("incr", ("n",)), ("set", ("key", 1))):
        met = cache.meets(method, *args)
        assert isinstance(met, Unavailable)
        assert met.outcome == "not_sent"


def test_a_caller_hears_of_it_soon_and_then_at_once(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 30}))
    assert cache.set("key", "value")
    place.kill()
    held = []
    for _ in range(40):
        met = cache.meets("get", "key")
        held.append(cache.last)
    assert statistics.median(held) < SOON
    assert isinstance(met, CircuitOpen)
    # That it waited for nobody shows in the best of many.
    assert min(held) < 0.001


def test_a_site_that_goes_on_without_is_answered(place, caller):
    cache = caller(place.cache(ON_ERROR="degrade"))
    assert cache.set("key", "value")
    place.kill()
    for _ in range(10):
        assert cache.get("key", "default") == "default"
        assert cache.get_many(["key", "other"]) == {}
        assert cache.set("key", "later") is False
        assert cache.get_or_set("key", lambda: "made") == "made"


def test_a_server_that_was_never_there_is_used_when_it_comes(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 0.05}))
    place.kill()
    assert cache.meets("get", "key").outcome == "not_sent"
    place.start()
    while isinstance(cache.tries("set", "key", "value"), Unavailable):
        pass
    assert cache.get("key") == "value"


def test_a_crowd_is_refused_and_served_again(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        load.go_on()
        place.kill()
        load.fails(200)
        place.start()
        load.go_on(3)
    figures = load.verdict(may_lose=True, forgets=True)
    assert figures["not_sent"] > 0
