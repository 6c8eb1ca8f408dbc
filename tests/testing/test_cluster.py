"""`Cluster` fails over, reshards and heals as it says."""

from __future__ import annotations

import pytest
import redis

from redpony.wire.topology.slots import SLOTS
from tests.servers import Cluster, until


@pytest.fixture(params=["valkey", "redis_debian"])
def cluster(request, places):
    cluster = places.fresh(f"{request.param}-cluster")
    yield cluster
    cluster.heal()


def other_than(cluster, node):
    return next(each for each in cluster.primaries if each is not node)


def owners(cluster, slot):
    """Return the ports that the nodes that are up name for a slot."""
    found = set()
    for node in cluster.nodes:
        if not node.is_up:
            continue
        with node.connect() as client:
            client.response_callbacks.clear()
            for first, last, primary, *_ in client.execute_command("CLUSTER SLOTS"):
                if first <= slot <= last:
                    found.add(primary[1])
    return found


def test_it_is_three_primaries_with_a_replica_each(cluster):
    assert cluster.primaries == cluster.nodes[:3]
    assert cluster.replicas == cluster.nodes[3:]
    for primary, replica in zip(cluster.primaries, cluster.replicas, strict=True):
        assert cluster.replicas_of(primary) == [replica]
        assert replica.follows(primary)
    slots = [slot for node in cluster.primaries for slot in cluster.slots(node)]
    assert slots == list(range(SLOTS))


def test_its_url_names_all_nodes(cluster):
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
    assert cluster.url() == f"redis+cluster://{hosts}"


@pytest.mark.parametrize("key", ["a", "{x}a", "a{x}", "{}a", "a{", b"\xff{x}"])
def test_keys_lie_where_the_servers_say(cluster, key):
    slot = cluster.slot_of(key)
    assert slot == cluster.nodes[0].ask("CLUSTER", "KEYSLOT", key)
    assert owners(cluster, slot) == {cluster.node_for(key).port}


def test_a_command_is_asked_where_its_key_lies(cluster):
    for number in range(20):
        cluster.ask("SET", f"key{number}", number)
    assert cluster.ask("PING")
    assert cluster.keys() == sorted(b"key%d" % number for number in range(20))
    assert all(node.keys() for node in cluster.primaries)
    assert all(
        replica.keys() == primary.keys()
        for primary in cluster.primaries
        for replica in cluster.replicas_of(primary)
    )


def test_client_is_redis_pys_and_what_it_writes_is_settled(cluster, monkeypatch):
    client = cluster.client()
    assert isinstance(client, redis.RedisCluster)
    settled = []
    monkeypatch.setattr(cluster, "settled", lambda: settled.append(1))
    for number in range(20):
        client.set(f"key{number}", number)
    cluster.ask("DEL", "key0")
    assert len(settled) == 21
    assert client.get("key7") == cluster.ask("GET", "key7") == b"7"
    assert len(settled) == 21


def test_counting_adds_the_nodes_up(cluster):
    client = cluster.client()
    for key in "abcdef":
        client.set(key, 1)
    with cluster.counting() as counted:
        for key in "abcdef":
            client.set(key, 2)
            client.get(key)
    assert counted.commands == {"set": 6, "get": 6}


@pytest.mark.parametrize("named", ["the primary", "the replica"])
def test_a_primary_and_its_replica_change_places(cluster, named):
    primary = cluster.node_for("a")
    (replica,) = cluster.replicas_of(primary)
    cluster.ask("SET", "a", 1)
    chosen = cluster.failover(primary if named == "the primary" else replica)
    assert chosen is replica
    assert cluster.node_for("a") is replica
    assert primary.follows(replica)
    assert owners(cluster, cluster.slot_of("a")) == {replica.port}
    assert cluster.ask("GET", "a") == b"1"


def test_a_node_that_is_killed_is_replaced_and_may_come_back(cluster):
    primary = cluster.node_for("a")
    (replica,) = cluster.replicas_of(primary)
    cluster.ask("SET", "a", 1)
    cluster.kill(primary)
    until(lambda: cluster.node_for("a") is replica, "the replica has taken over")
    cluster.await_agreement()
    assert cluster.ask("GET", "a") == b"1"
    primary.start()
    cluster.await_sync()
    assert cluster.replicas_of(replica) == [primary]
    assert primary.follows(replica)
    cluster.heal()
    assert cluster.primaries == cluster.nodes[:3]
    assert cluster.keys() == []


def test_a_slot_moves_with_its_keys(cluster):
    slot = cluster.slot_of("{x}")
    source = cluster.node_for(slot)
    target = other_than(cluster, source)
    names = [f"{{x}}{number}" for number in range(250)]
    for name in names:
        source.ask("SET", name, name)
    cluster.move_slot(slot, target)
    assert cluster.node_for("{x}7") is target
    assert owners(cluster, slot) == {target.port}
    assert len(target.keys()) == 250
    assert source.keys() == []
    (replica,) = cluster.replicas_of(target)
    cluster.settled()
    assert replica.keys() == target.keys()
    cluster.heal()
    assert cluster.node_for("{x}7") is source


def test_slots_are_resharded_while_a_client_goes_on(cluster):
    source, target, _ = cluster.primaries
    client = cluster.client()
    for number in range(300):
        client.set(f"key{number}", number)
    moved = cluster.reshard(50, source, target)
    assert moved == list(range(50))
    assert cluster.slots(target)[:50] == moved
    assert len(cluster.slots(source)) == 5461 - 50
    assert [client.get(f"key{number}") for number in range(300)] == [
        b"%d" % number for number in range(300)
    ]


def test_a_slot_that_is_half_way_answers_ask_and_tryagain_and_then_is_back(cluster):
    slot = cluster.slot_of("{x}")
    source = cluster.node_for(slot)
    target = other_than(cluster, source)
    cluster.ask("MSET", "{x}stays", 1, "{x}goes", 2)
    with cluster.migrating(slot, target) as migration:
        migration.move("{x}goes")
        assert source.ask("GET", "{x}stays") == b"1"
        with pytest.raises(redis.exceptions.AskError) as asked:
            source.ask("GET", "{x}goes")
        assert asked.value.port == target.port
        with pytest.raises(redis.exceptions.MovedError):
            target.ask("GET", "{x}goes")
        with pytest.raises(redis.exceptions.TryAgainError):
            source.ask("MGET", "{x}stays", "{x}goes")
        with target.connect() as client:
            client.execute_command("ASKING")
            assert client.get("{x}goes") == b"2"
    assert cluster.node_for(slot) is source
    assert source.ask("MGET", "{x}stays", "{x}goes") == [b"1", b"2"]
    pids = [node.pid for node in cluster.nodes]
    cluster.heal()
    assert [node.pid for node in cluster.nodes] == pids


def test_a_slot_that_is_half_way_may_finish(cluster):
    slot = cluster.slot_of("{x}")
    target = other_than(cluster, cluster.node_for(slot))
    cluster.ask("SET", "{x}", 1)
    with cluster.migrating(slot, target) as migration:
        migration.finish()
    cluster.await_agreement()
    assert cluster.node_for(slot) is target
    assert target.ask("GET", "{x}") == b"1"


def test_a_slot_that_was_left_open_is_healed(cluster):
    source, target, _ = cluster.primaries
    source.ask("CLUSTER", "SETSLOT", 0, "MIGRATING", cluster.id_of(target))
    cluster.heal()
    assert "->-" not in str(source.ask("CLUSTER", "NODES"))
    assert cluster.primaries == cluster.nodes[:3]


def test_it_speaks_tls_to_a_user_of_the_tests():
    with Cluster(
        "redis",
        replicas=0,
        tls=True,
        password="root",
        acl=["user app on >secret ~* &* +@all"],
        login=("app", "secret"),
    ) as cluster:
        assert cluster.url().startswith("rediss+cluster://app:secret@127.0.0.1:")
        source = cluster.node_for("a")
        target = other_than(cluster, source)
        cluster.client().set("a", 1)
        cluster.move_slot(cluster.slot_of("a"), target)
        with redis.RedisCluster.from_url(
            target.url(), ssl_ca_certs=str(cluster.certificates.ca)
        ) as client:
            assert client.get("a") == b"1"
        assert {user["user"] for user in cluster.users()} <= {"app"}
