"""`Replication` does what it says, and heals from what is done to it."""

from __future__ import annotations

import pytest
import redis

from tests.servers import until


@pytest.fixture(params=["valkey", "redis_debian"])
def group(request, places):
    group = places.fresh(f"{request.param}-replicated")
    yield group
    group.heal()


def held_by(node, key):
    return node.ask("GET", key)


def test_settled_waits_until_every_replica_has_what_was_written(group):
    large = b"x" * 30_000_000
    with group.primary.connect() as client:
        client.set("a", large)
    group.settled()
    assert [node.ask("STRLEN", "a") for node in group.nodes] == [len(large)] * 3


def test_what_the_test_writes_is_settled_and_what_it_reads_is_not_waited_for(
    group, monkeypatch
):
    client = group.client()
    settled = []
    monkeypatch.setattr(group, "settled", lambda: settled.append(1))
    group.ask("SET", "a", 1)
    client.set("a", 2)
    client.eval("return redis.call('INCR', KEYS[1])", 1, "a")
    assert len(settled) == 3
    assert group.ask("GET", "a") == client.get("a") == b"3"
    assert len(settled) == 3


def test_its_url_names_the_primary_first(group):
    assert group.primary is group.nodes[0]
    assert group.url(2).split(",") == [node.url(2) for node in group.nodes]
    chosen = group.promote(1)
    assert chosen is group.nodes[2]
    assert group.urls() == [
        chosen.url(),
        group.nodes[0].url(),
        group.nodes[1].url(),
    ]


def test_after_a_promotion_the_old_primary_follows_the_new_one(group):
    old = group.primary
    group.ask("SET", "a", 1)
    new = group.promote()
    assert group.primary is new
    assert new.role == "primary"
    assert all(node.follows(new) for node in group.replicas)
    with pytest.raises(redis.exceptions.ReadOnlyError):
        old.ask("SET", "a", 2)
    group.ask("SET", "a", 3)
    assert held_by(old, "a") == b"3"


def test_a_replica_that_was_killed_is_one_again(group):
    replica = group.replicas[0]
    replica.kill()
    group.ask("SET", "a", 1)
    replica.start()
    group.await_sync()
    assert held_by(replica, "a") == b"1"


def test_nobody_waits_for_a_replica_that_is_paused(group):
    group.replicas[0].pause()
    group.ask("SET", "a", 1)
    assert held_by(group.replicas[1], "a") == b"1"
    group.flush()
    assert group.keys() == []


def test_flush_leaves_neither_data_nor_scripts(group):
    group.ask("SET", "a", 1)
    loaded = [node.ask("SCRIPT", "LOAD", "return 1") for node in group.nodes]
    group.flush()
    assert [node.keys() for node in group.nodes] == [[], [], []]
    assert [node.ask("SCRIPT", "EXISTS", loaded[0]) for node in group.nodes] == [
        [False]
    ] * 3


def test_counting_leaves_out_what_servers_say_to_each_other(group):
    primary, replica = group.primary.connect(), group.replicas[0].connect()
    with primary, replica:
        primary.ping()
        replica.get("a")
        with group.counting() as counted:
            primary.set("a", 1)
            primary.get("a")
            group.settled()
            replica.get("a")
    assert counted.commands == {"set": 1, "get": 2}


def test_hanging_up_closes_what_the_test_has_opened(group):
    clients = [redis.Redis.from_url(url, retry=None) for url in group.urls()]
    for client in clients:
        client.ping()
    assert len(group.users()) == 3
    assert group.hang_up() == 3
    until(lambda: group.users() == [], "they are gone")
    for client in clients:
        client.close()


DAMAGE = {
    "nothing": lambda group: None,
    "killed": lambda group: group.replicas[0].kill(),
    "the primary killed": lambda group: group.primary.kill(),
    "paused": lambda group: group.primary.pause(),
    "promoted": lambda group: group.promote(),
    "on its own": lambda group: group.replicas[0].lead(),
    "configured": lambda group: group.primary.ask("CONFIG", "SET", "maxmemory", "9mb"),
    "admitted": lambda group: group.primary.ask("ACL", "SETUSER", "new", "on", "+get"),
    "asked to wait": lambda group: group.replicas[1].ask("CLIENT", "PAUSE", 60_000),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_it_heals(group, damage):
    urls = group.urls()
    group.ask("SET", "a", 1)
    pids = [node.pid for node in group.nodes]
    DAMAGE[damage](group)
    group.heal()
    assert group.urls() == urls
    assert group.keys() == []
    assert group.primary.info("memory")["maxmemory"] == 0
    assert b"new" not in b" ".join(group.primary.ask("ACL", "USERS"))
    group.ask("SET", "b", 1)
    assert [held_by(node, "b") for node in group.nodes] == [b"1"] * 3
    same = [node.pid for node in group.nodes] == pids
    assert same == (damage == "nothing")
