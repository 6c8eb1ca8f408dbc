"""F16: the server has become a replica and takes no writes."""

from __future__ import annotations

import time

import pytest

from redpony.errors import ReadOnly, Unavailable

TOPOLOGIES = ("single", "replicated")
FLAVOURS = {"single": ("valkey", "redis")}


@pytest.mark.topologies("single")
def test_a_write_is_refused_until_the_server_leads_again(place, caller, cold_server):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    leader = cold_server(place.flavour)
    leader.ask("SET", place.handle and cache.make_key("key"), "1")
    place.handle.follow(leader)
    place.handle.await_sync()
    for method, args in (("set", ("key", 2)), ("incr", ("key",)), ("delete", ("key",))):
        met = cache.meets(method, *args)
        assert isinstance(met, (ReadOnly, Unavailable))
        assert met.outcome in ("refused", "not_sent")
    assert cache.get("key") == 1
    place.handle.lead()
    while isinstance(cache.tries("incr", "key"), (ReadOnly, Unavailable)):
        time.sleep(0.005)
    # Refused commands left nothing behind.
    assert cache.get("key") == 2


@pytest.mark.topologies("single")
def test_a_site_that_goes_on_without_is_answered(place, caller, cold_server):
    cache = caller(place.cache(ON_ERROR="degrade"))
    place.handle.follow(cold_server(place.flavour))
    assert cache.set("key", "value") is False
    assert cache.get_or_set("key", lambda: "made") == "made"
    assert cache.get("key") is None


@pytest.mark.topologies("replicated")
def test_a_write_goes_to_the_server_that_leads_now(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    for turn in range(3):
        place.handle.promote(turn % 2)
        assert cache.set("key", turn)
        assert cache.get("key") == turn
        assert cache.incr("n", ignore_key_check=True) == turn + 1


@pytest.mark.topologies("replicated")
def test_a_crowd_follows_the_primary_wherever_it_goes(place, workload, record):
    outages = []
    with workload(place.cache()) as load:
        for turn in range(4):
            load.go_on()
            outages.append(time.monotonic())
            place.handle.promote(turn % 2)
            load.go_on(3)
    # Whoever is promoted has not all that the old primary acknowledged.
    load.verdict(may_lose=True)
    record(outage=max(map(load.longest_gap, outages)))
