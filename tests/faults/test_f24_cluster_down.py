"""F24: a part of a cluster is gone, or all of it has been replaced."""

from __future__ import annotations

import contextlib
import time
from functools import partial

import pytest

from redpony.errors import ClusterDown, Unavailable
from redpony.wire.topology.slots import slot_of
from tests.servers import Server, free_port, until

TOPOLOGIES = ("cluster",)
FLAVOURS = ("valkey", "redis")
SETTINGS = ("cluster-require-full-coverage no",)

KEYS = [f"key{number}" for number in range(30)]


def lose_a_shard(place, cache):
    """Kill a primary and its replica; return their keys and the others'."""
    assert cache.set_many(dict.fromkeys(KEYS, "value"), None) == []
    place.handle.settled()
    dead = place.handle.nodes[0], place.handle.nodes[3]
    owners = {key: place.handle.node_for(cache.make_key(key)) for key in KEYS}
    gone = [key for key in KEYS if owners[key] is dead[0]]
    assert gone
    for node in reversed(dead):
        node.kill()
    return dead, gone, [key for key in KEYS if key not in gone]


def bring_back(place, dead):
    for node in dead:
        node.launch()
    for node in dead:
        node.await_answer()
    place.handle.await_agreement()


def test_other_slots_go_on_and_the_error_says_who_is_missing(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 0.05}))
    dead, gone, others = lose_a_shard(place, cache)
    last = place.handle.nodes[1]
    # Before the others know that they are dead, and after.
    for _ in range(2):
        for key in gone[:3]:
            met = cache.meets("get", key)
            assert isinstance(met, Unavailable)
            assert dead[0].address in str(met) or str(slot_of(key)) in str(met)
            assert cache.meets("set", key, "later").outcome != "unknown"
        for key in others:
            assert cache.get(key) == "value"
            assert cache.set(key, "value", None) is True
        assert cache.get_many(others) == dict.fromkeys(others, "value")
        until(
            lambda: b"cluster_slots_fail:0\r" not in last.ask("CLUSTER", "INFO"),
            "the others know that a shard has failed",
        )
    bring_back(place, dead)
    while isinstance(cache.tries("set", gone[0], "later"), Unavailable):
        time.sleep(0.005)
    assert cache.set_many(dict.fromkeys(KEYS, "later"), None) == []
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "later")


def test_a_site_that_goes_on_without_has_the_rest(place, caller):
    cache = caller(place.cache(ON_ERROR="degrade", BREAKER={"COOLDOWN": 0.05}))
    dead, gone, others = lose_a_shard(place, cache)
    for _ in range(3):
        assert cache.get_many(KEYS) == dict.fromkeys(others, "value")
        failed = cache.set_many(dict.fromkeys(KEYS, "value"), None)
        assert sorted(failed) == sorted(gone)
        assert cache.get(gone[0], "default") == "default"
        assert cache.get(others[0]) == "value"
    bring_back(place, dead)
    while cache.set_many(dict.fromkeys(KEYS, "later"), None):
        time.sleep(0.005)
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "later")


def test_a_slot_that_nobody_has_is_named(place, caller):
    cache = caller(place.cache())
    assert cache.set_many(dict.fromkeys(KEYS, "value"), None) == []
    slot = slot_of(cache.make_key(KEYS[0]))
    for node in place.handle.nodes:
        with contextlib.suppress(Exception):  # replicas may not
            node.ask("CLUSTER", "DELSLOTS", slot)
    while not isinstance(met := cache.tries("get", KEYS[0]), ClusterDown):
        time.sleep(0.005)
    assert str(slot) in str(met)
    assert met.outcome == "refused"
    for key in KEYS[1:]:
        assert cache.get(key) == "value"
    for node in place.handle.nodes[:3]:
        node.ask("CLUSTER", "ADDSLOTS", slot)
        break
    until(
        lambda: not isinstance(cache.tries("set", KEYS[0], "later"), Unavailable),
        "the slot is served again",
    )
    assert cache.get(KEYS[0]) == "later"


@pytest.mark.settings
def test_a_cluster_that_wants_to_be_whole_answers_nobody_and_then_all(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 0.05}))
    dead, _, others = lose_a_shard(place, cache)
    until(
        lambda: isinstance(cache.tries("get", others[0]), ClusterDown),
        "the cluster is down",
    )
    for key in others:
        met = cache.meets("get", key)
        assert isinstance(met, ClusterDown)
        assert f"slot {slot_of(cache.make_key(key))}" in str(met)
        assert cache.meets("incr", key).outcome == "refused"
    bring_back(place, dead)
    until(
        lambda: not isinstance(cache.tries("get", others[0]), Unavailable),
        "the cluster answers again",
    )
    assert cache.get_many(others) == dict.fromkeys(others, "value")


@pytest.mark.settings
def test_a_crowd_is_served_again_when_all_are_back(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05}), pace=0.005) as load:
        load.go_on(3)
        dead = place.handle.nodes[0], place.handle.nodes[3]
        for node in reversed(dead):
            node.kill()
        load.until(lambda: load.failures["ClusterDown"] > 20)
        bring_back(place, dead)
        load.go_on(3)
    load.verdict(may_lose=True)


# -- all ports are other ones ---------------------------------------------------


class Renewal:
    """Puts new nodes in the place of a cluster's, pair by pair."""

    def __init__(self, group, stack, load):
        self.group = group
        self.load = load
        self.stack = stack
        self.up = list(group.nodes)
        self.ids = {node: node.ask("CLUSTER", "MYID").decode() for node in self.up}

    def replace(self, primary, replica):
        """Let two new nodes take a shard over, and remove those that had it."""
        first, second = self.join(), self.join()
        old = primary, replica
        for node in (first, second):
            until(partial(self.replicates, node, primary), f"{node} has a primary")
            until(partial(self.in_sync, node), f"{node} is in sync")
        until(partial(self.leads, first), f"{first} leads")
        for node in (second, *old):
            until(partial(node.follows, first), f"{node} follows {first}")
        for node in old:
            # As an operator would: not while somebody is still being sent elsewhere.
            until(partial(self.is_left_alone, node), f"nobody asks {node}")
            self.up.remove(node)
            for other in self.up:
                other.ask("CLUSTER", "FORGET", self.ids[node])
            node.kill()

    def join(self):
        """Return a new node that all others know."""
        settings = [
            line
            for line in self.group.nodes[0].settings
            if not line.startswith("cluster-port")
        ]
        bus = free_port()
        node = self.stack.enter_context(
            Server(self.group.flavour, settings=[*settings, f"cluster-port {bus}"])
        )
        self.ids[node] = node.ask("CLUSTER", "MYID").decode()
        for other in self.up:
            other.ask("CLUSTER", "MEET", node.host, node.port, bus)
        self.up.append(node)
        everybody = {self.ids[each] for each in self.up}
        until(
            lambda: all(self.known(each) >= everybody for each in self.up),
            f"{node} has met the others",
        )
        return node

    def replicates(self, node, primary):
        with contextlib.suppress(Exception):
            node.ask("CLUSTER", "REPLICATE", self.ids[primary])
            return True
        return False

    def is_left_alone(self, node):
        """Let everybody go on for a moment; return whether nobody came to a node."""
        before = moved(node)
        self.load.go_on(5)
        return moved(node) == before

    @staticmethod
    def leads(node):
        """Ask a node to lead; it gives up where the others are slow to agree."""
        node.ask("CLUSTER", "FAILOVER")
        with contextlib.suppress(TimeoutError):
            until(lambda: node.role == "primary", f"{node} leads", 6)
        return node.role == "primary"

    def known(self, node):
        """Return who is known to a node, and well."""
        with node.connect() as client:
            said = client.execute_command("CLUSTER NODES")
        return {
            each["node_id"]
            for each in said.values()
            if each["connected"] and "handshake" not in each["flags"]
        }

    @staticmethod
    def in_sync(node):
        return node.info("replication").get("master_link_status") == "up"


def moved(node):
    """Return how often a node has sent somebody elsewhere."""
    return node.info("errorstats").get("errorstat_MOVED", {}).get("count", 0)


def test_nobody_notices_that_every_node_is_replaced_by_another(place, workload, record):
    old = list(place.handle.nodes)
    cache = place.cache(DEADLINE=2)
    with contextlib.ExitStack() as stack:
        with workload(cache, pace=0.01) as load:
            renewal = Renewal(place.handle, stack, load)
            for primary, replica in zip(old[:3], old[3:], strict=True):
                load.go_on(3)
                renewal.replace(primary, replica)
                load.go_on(3)
            assert not any(node.is_running for node in old)
            load.go_on(10)
        figures = load.verdict()
        assert cache.set_many(dict.fromkeys(KEYS, "value"), None) == []
        assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "value")
    record(replaced=len(old))
    assert load.failures == {}
    assert figures["lost"] == figures["stale"] == 0
