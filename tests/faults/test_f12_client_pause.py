"""F12: the server is paused, for writes or for everything."""

from __future__ import annotations

import time

from redpony.errors import DeadlineExceeded, Unavailable

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}


def pause(place, milliseconds, what):
    for server in place.primaries:
        server.ask("CLIENT", "PAUSE", milliseconds, what)


def unpause(place):
    for server in place.primaries:
        server.ask("CLIENT", "UNPAUSE")


def test_a_pause_that_is_shorter_than_the_deadline_is_waited_for(place, caller):
    cache = caller(place.cache(DEADLINE=5))
    assert cache.set("key", 1)
    pause(place, 100, "ALL")
    assert cache.get("key") == 1
    pause(place, 100, "WRITE")
    assert cache.incr("key") == 2
    assert cache.breakers == {"closed"}


def test_reads_go_on_while_writes_are_paused(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    pause(place, 60_000, "WRITE")
    for _ in range(50):
        assert cache.get("key") == "value"
        assert cache.get_many(["key", "other"]) == {"key": "value"}
    unpause(place)
    assert cache.set("key", "other")


def test_reads_come_back_after_a_write_that_is_held(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", "value")
    pause(place, 60_000, "WRITE")
    for _ in range(3):
        assert cache.meets("set", "key", "later").outcome in ("unknown", "not_sent")
        while isinstance(found := cache.tries("get", "key"), Unavailable):
            pass
        assert found == "value"
    unpause(place)


def test_everything_ends_at_the_deadline_while_all_is_paused(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    # By the server's own clock: it would hold back the command that ends it.
    pause(place, 400, "ALL")
    assert isinstance(cache.meets("get", "key"), DeadlineExceeded)
    while isinstance(found := cache.tries("get", "key"), Unavailable):
        time.sleep(0.005)
    assert found == "value"


def test_what_was_held_back_takes_effect_once(place, caller):
    cache = caller(place.cache(BREAKER={"FAILURES": 1000}))
    assert cache.incr("n", ignore_key_check=True) == 1
    pause(place, 60_000, "WRITE")
    outcomes = [
        cache.meets("incr", "n", ignore_key_check=True).outcome for _ in range(3)
    ]
    unpause(place)
    while isinstance(cache.tries("get", "n"), Unavailable):
        pass
    place.quiet()
    assert cache.get("n") in range(1, 2 + outcomes.count("unknown"))


def test_a_crowd_is_held_for_the_deadline_at_most(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        for what in ("WRITE", "ALL", "WRITE"):
            load.go_on()
            pause(place, 400, what)
            load.fails(10)
            load.go_on(3)
    load.verdict()
