"""F14: the server is full and lets nothing go."""

from __future__ import annotations

from redpony import events
from redpony.errors import OutOfMemory

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}


def fill(place):
    """Set a limit that the servers are beyond of already."""
    place.configure("maxmemory", 1_000)


def make_room(place):
    place.configure("maxmemory", 0)


def test_a_write_is_refused_and_everything_else_goes_on(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    assert cache.set("n", 1)
    fill(place)
    for method, args in (("set", ("key", 2)), ("incr", ("n",)), ("add", ("new", 1))):
        met = cache.meets(method, *args)
        assert isinstance(met, OutOfMemory)
        assert met.outcome == "refused"
    assert cache.get("key") == "value"
    assert cache.get_many(["key", "n"]) == {"key": "value", "n": 1}
    assert cache.delete("key")
    assert cache.breakers == {"closed"}
    make_room(place)
    assert cache.set("key", "later")
    assert cache.incr("n") == 2


def test_a_site_that_goes_on_without_is_answered(place, caller):
    cache = caller(place.cache(ON_ERROR="degrade"))
    assert cache.set("key", "value")
    fill(place)
    degraded = []
    end = events.subscribe(degraded.append, events.Degraded)
    try:
        assert cache.set("key", "later") is False
        assert cache.add("new", 1) is False
        assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]
        assert cache.get_or_set("new", lambda: "made") == "made"
    finally:
        end()
    assert [each.name for each in degraded] == ["set", "add", "set_many", "get_or_set"]
    assert cache.get("key") == "value"


def test_a_crowd_reads_on_and_writes_again_when_there_is_room(place, workload):
    with workload(place.cache()) as load:
        load.go_on()
        fill(place)
        load.fails(100)
        load.go_on()
        make_room(place)
        load.go_on(3)
    figures = load.verdict()
    assert set(load.failures) == {"OutOfMemory"}
    assert figures["refused"] == load.failed
