"""A proxy before each of several servers, and what their clients are told."""

from __future__ import annotations

import contextlib

import pytest
import redis
from redis.cluster import ClusterNode

from redpony.errors import InvalidSetting
from redpony.testing.chaos import Cluster, Proxies
from tests.hostile import FakeServer, silent


@pytest.fixture
def servers():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(FakeServer(silent)) for _ in range(3)]


def test_each_server_has_a_proxy_of_its_own(servers):
    with Proxies(servers) as proxies:
        assert len(proxies) == 3
        assert len({proxy.port for proxy in proxies}) == 3
        first = servers[0]
        assert proxies[first] is proxies[first.host, first.port]
        assert str(proxies[first.host, first.port]._aim) == f"127.0.0.1:{first.port}"


def test_addresses_are_translated_and_those_of_others_are_kept(servers):
    with Proxies((each.host, each.port) for each in servers) as proxies:
        for server in servers:
            there = proxies[server]
            assert proxies.remap(server.host, server.port) == (there.host, there.port)
        assert proxies.remap("127.0.0.1", 1) == ("127.0.0.1", 1)
        assert proxies.hosts == ",".join(f"127.0.0.1:{each.port}" for each in proxies)
        # Equal ones make one alias' link, not two.
        assert proxies.remap == proxies.remap
        assert hash(proxies.remap) == hash(proxies.remap)


def test_all_are_healed_and_closed_together(servers):
    with Proxies(servers) as proxies:
        for proxy in proxies:
            proxy.latency(10)
        proxies.heal()
        assert [proxy.toxics for proxy in proxies] == [[], [], []]
    with pytest.raises(RuntimeError, match="closed"):
        proxies[servers[2]].latency(10)


def test_a_server_that_is_named_twice_is_a_mistake(servers):
    with pytest.raises(InvalidSetting, match=f":{servers[0].port} already"):
        Proxies([*servers, servers[0]])


def test_a_server_without_a_proxy_is_named(servers):
    with Proxies(servers[:2]) as proxies, pytest.raises(KeyError, match="no proxy bef"):
        proxies[servers[2]]


def test_clients_of_a_cluster_go_through_its_proxies_only():
    with Cluster() as cluster, Proxies(cluster.nodes) as proxies:
        client = redis.RedisCluster(
            startup_nodes=[ClusterNode(each.host, each.port) for each in proxies],
            address_remap=lambda address: proxies.remap(*address),
        )
        with contextlib.closing(client):
            for number in range(50):
                client.set(f"key{number}", number)
            assert all(proxies[node].to_server for node in cluster.primaries)
            assert len(cluster.users()) == sum(proxy.open for proxy in proxies)
