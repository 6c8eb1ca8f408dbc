"""For a cluster, redis-py's clients are those for clusters, configured as the alias is."""

from __future__ import annotations

import asyncio

import pytest
import redis
import redis.asyncio

from redpony import aget_redis, get_redis
from redpony.errors import InvalidSetting, Unreachable
from redpony.testing.chaos import Proxies
from tests.servers import Cluster, free_port

PATIENT = {"CONNECT_TIMEOUT": 10, "DEADLINE": 10}
KEYS = [f"key{number}" for number in range(30)]


@pytest.fixture(params=["valkey-cluster", "redis_debian-cluster"])
def cluster(request, places):
    return places.fresh(request.param)


def test_keys_go_to_the_nodes_that_have_their_slots(cache_on, cluster, ask):
    cache_on(cluster)
    for key in KEYS:
        ask("set", key, "v")

    assert {cluster.node_for(key).client().get(key) for key in KEYS} == {b"v"}
    assert len({cluster.node_for(key) for key in KEYS}) == 3
    assert [ask("get", key) for key in KEYS] == [b"v"] * 30


def test_they_are_redis_pys_own(cache_on, cluster):
    cache_on(cluster)

    async def work():
        client = aget_redis()
        assert client is aget_redis()
        return isinstance(client, redis.asyncio.RedisCluster)

    assert isinstance(get_redis(), redis.RedisCluster)
    assert get_redis() is get_redis()
    assert asyncio.run(work())


def test_they_do_not_retry(cache_on, cluster):
    cache_on(cluster)

    async def work():
        return aget_redis().retry._retries

    assert get_redis().retry._retries == 0
    assert asyncio.run(work()) == 0


def test_a_slot_that_moved_is_followed(cache_on, places, ask):
    cluster = places.fresh("valkey-cluster")
    cache_on(cluster)
    ask("set", "key1", 1)
    old = cluster.node_for("key1")
    new = next(each for each in cluster.primaries if each is not old)
    cluster.move_slot(cluster.slot_of("key1"), new)
    try:
        assert ask("incr", "key1") == 2
    finally:
        cluster.move_slot(cluster.slot_of("key1"), old)


def test_tasks_wait_for_one_another(cache_on, cluster):
    cache_on(cluster, POOL_SIZE=3)

    async def work():
        client = aget_redis()
        found = await asyncio.gather(*(client.incr("n") for _ in range(60)))
        return sorted(found), len(cluster.node_for("n").users())

    found, connections = asyncio.run(work())

    assert found == list(range(1, 61))
    # One more may have asked for the slots.
    assert connections <= 3 + 1


def test_threads_wait_for_one_another(cache_on, cluster):
    from concurrent.futures import ThreadPoolExecutor

    cache_on(cluster, POOL_SIZE=2)
    with ThreadPoolExecutor(20) as threads:
        found = sorted(threads.map(lambda _: get_redis().incr("n"), range(100)))

    assert found == list(range(1, 101))
    assert len(cluster.node_for("n").users()) <= 2


def test_connections_close_with_their_loop(cache_on, cluster):
    cache_on(cluster)

    async def work():
        await aget_redis().set("k", 1)

    asyncio.run(work())

    assert cluster.users() == []


@pytest.fixture(scope="module")
def secured():
    """A cluster with TLS and a password."""
    with Cluster("redis", tls=True, password="secret") as cluster:
        yield cluster


def test_tls_and_a_password_are_for_every_node(cache_on, secured, ask):
    trusted = {"CA_FILE": str(secured.certificates.ca)}
    cache_on(secured, TLS=trusted, **PATIENT)

    assert secured.url().startswith("rediss+cluster://:secret@")
    assert [ask("set", key, 1) for key in KEYS] == [True] * 30


def test_a_certificate_of_nobody_is_not_trusted(cache_on, secured, ask):
    cache_on(None, LOCATION=secured.url(), **PATIENT)

    with pytest.raises(Unreachable, match="(?i)certificate"):
        ask("set", "k", 1)


def test_a_nodes_name_is_checked_though_redis_py_may_drop_the_demand(
    cache_on, secured, ask
):
    """Some releases of redis-py take no `ssl_check_hostname` for a cluster."""
    trusted = {"CA_FILE": str(secured.certificates.ca)}
    hosts = ",".join(f"127.1:{each.port}" for each in secured.nodes)
    cache_on(
        None,
        LOCATION=f"rediss+cluster://:secret@{hosts}",
        TLS=trusted,
        **PATIENT,
    )

    with pytest.raises(Unreachable, match="(?i)certificate"):
        ask("set", "k", 1)


def test_what_redis_py_has_no_argument_for_is_said(cache_on):
    cache_on(
        None,
        LOCATION="rediss+cluster://127.0.0.1:7000",
        TLS={"CA_PATH": "/etc/ssl/certs"},
    )

    async def work():
        aget_redis()

    with pytest.raises(InvalidSetting, match="has no ssl_ca_path here"):
        asyncio.run(work())


def test_addresses_behind_nat_are_reached_by_their_remap(cache_on, cluster, ask):
    with Proxies(cluster.nodes) as proxies:
        cache_on(
            None,
            LOCATION=f"redis+cluster://{proxies.hosts}",
            ADDRESS_REMAP=proxies.remap,
            **PATIENT,
        )
        for key in KEYS:
            ask("set", key, 1)

        assert all(proxies[each].accepted > 0 for each in cluster.primaries)


def test_no_node_that_answers_is_unavailable(cache_on, ask):
    cache_on(None, LOCATION=f"redis+cluster://127.0.0.1:{free_port()}")

    with pytest.raises(Unreachable, match="No node of the cluster answers"):
        ask("ping")
