"""F22: a node of a cluster dies."""

from __future__ import annotations

import time

import pytest

from redpony.errors import CrossSlot, Unavailable
from tests.faults.failovers import OwnTime, outages
from tests.servers import until

TOPOLOGIES = ("cluster",)
FLAVOURS = ("valkey", "redis")
# Otherwise all shards refuse to answer from the death of one until it is replaced.
SETTINGS = ("cluster-require-full-coverage no",)

ROOM = 0.5
"""Seconds beyond the servers' own time that a crowd on a slow machine may need."""

KEYS = [f"key{number}" for number in range(60)]


def shards(place, cache):
    """Return the keys by the primary that has them."""
    found = {}
    for key in KEYS:
        found.setdefault(place.handle.node_for(cache.make_key(key)), []).append(key)
    assert len(found) == 3
    return found


def fill(place, cache):
    assert cache.set_many(dict.fromkeys(KEYS, "value"), None) == []
    place.handle.settled()
    return shards(place, cache)


def test_a_crowd_goes_on_as_soon_as_a_replica_is_promoted(
    place, workload, record, pulse
):
    old = place.handle.nodes[0]
    # A key of the node that dies.
    key = next(key for key in KEYS if place.handle.node_for(key) is old)
    load = workload(place.cache(), pace=0.005)
    with load, OwnTime(place.handle, old, key) as own:
        load.go_on(3)
        own.begin(old.kill)
        needed = own.seconds
        place.handle.await_agreement()
        load.go_on(30)
    load.verdict()
    # Each worker's next answer may be another shard's: the crowd as a whole has
    # keys on all of them.
    outage = max(outages(load, own.began, of_failed=True))
    excused = pulse.excused(own.ended, own.began + outage)
    record(outage=outage, servers=needed, failovers=1)
    assert outage <= needed + ROOM + excused


def test_an_operator_replaces_a_primary_and_nobody_notices(place, workload, record):
    with workload(place.cache(), pace=0.005) as load:
        for node in place.handle.nodes[:3]:
            load.go_on(3)
            place.handle.failover(node)
            load.go_on(3)
    figures = load.verdict()
    record(failovers=3)
    # The servers hold writes back until the replica has them all.
    assert figures["lost"] == 0
    assert load.failures == {}


def test_keys_of_the_other_shards_are_served_all_the_time(place, caller):
    cache = caller(place.cache())
    keys = fill(place, cache)
    dead = place.handle.nodes[0]
    dead.kill()
    others = [key for node, found in keys.items() if node is not dead for key in found]
    lost = keys[dead]
    while isinstance(met := cache.tries("get", lost[0]), Unavailable):
        assert cache.get(others[0]) == "value"
        assert cache.get_many(others) == dict.fromkeys(others, "value")
        assert cache.set_many(dict.fromkeys(others, "value"), None) == []
    assert met == "value"
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "value")


def test_of_many_keys_those_of_the_other_shards_are_found(place, caller):
    # A slow machine's misses are not what this is about.
    patient = {"DEADLINE": 2, "CONNECT_TIMEOUT": 2}
    cache = caller(place.cache(ON_ERROR="degrade", **patient))
    keys = fill(place, cache)
    dead = place.handle.nodes[0]
    dead.kill()
    others = {key for node, found in keys.items() if node is not dead for key in found}
    degraded = 0
    while (found := cache.get_many(KEYS)).keys() != set(KEYS):
        assert found.keys() >= others
        assert set(found.values()) == {"value"}
        degraded += 1
        failed = cache.set_many(dict.fromkeys(KEYS, "value"), None)
        assert set(failed) <= set(keys[dead])
    assert degraded > 0


def test_an_error_of_many_keys_holds_what_was_found(place, caller):
    cache = caller(place.cache())
    keys = fill(place, cache)
    dead = place.handle.nodes[0]
    dead.kill()
    met = cache.meets("get_many", KEYS)
    assert isinstance(met, Unavailable)
    assert not isinstance(met, CrossSlot)
    assert f"{len(keys[dead])} of {len(KEYS)} parts of MGET" in str(met)
    found = [each for each in met.partial if not isinstance(each, Unavailable)]
    assert len(found) == len(KEYS) - len(keys[dead])


def test_a_replica_that_dies_is_missed_by_nobody(place, workload, record):
    with workload(place.cache(), pace=0.005) as load:
        load.go_on(3)
        place.handle.nodes[3].kill()
        load.go_on(10)
        place.handle.nodes[3].start()
        load.go_on(10)
        place.handle.await_agreement()
    figures = load.verdict()
    assert figures["lost"] == 0
    assert load.failures == {}


def lists_replicas(place):
    """Return whether all nodes say that there are replicas.

    Redis keeps a replica to itself until it has heard that it has data.
    """
    return all(
        len(shard) > 3  # from, to, the primary
        for node in place.handle.nodes
        for shard in node.ask("CLUSTER", "SLOTS")
    )


@pytest.mark.parametrize("dies", ["primary", "replica"])
def test_reads_from_replicas_are_answered_whoever_dies(place, caller, dies):
    fill(place, caller(place.cache()))
    until(lambda: lists_replicas(place), "every node lists every primary's replica")
    cache = caller(place.cache(READ_FROM="replica", READ_YOUR_WRITES=0))
    for key in KEYS:
        assert cache.get(key) == "value"
    dead = place.handle.nodes[0 if dies == "primary" else 3]
    dead.kill()
    end = time.monotonic() + 3  # longer than it takes the cluster
    while time.monotonic() < end:
        for key in KEYS[:10]:
            assert cache.get(key) == "value"
        assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "value")


def test_a_node_that_comes_back_is_used_again(place, caller):
    cache = caller(place.cache())
    keys = fill(place, cache)
    first = place.handle.nodes[0]
    first.kill()
    while isinstance(cache.tries("set", keys[first][0], "later"), Unavailable):
        time.sleep(0.005)
    first.start()
    place.handle.await_sync()
    assert first.role == "replica"
    assert cache.get(keys[first][0]) == "later"
    place.handle.failover(first)
    assert first.role == "primary"
    for key in KEYS:
        assert cache.set(key, "again")
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "again")
