"""`status` and `doctor` see every server of an alias, and how it stands to the others."""

from __future__ import annotations

import re

import pytest

from redpony import connections
from tests.management.aliases import ours, theirs
from tests.servers import Cluster, Replication, Sentinel, free_port, until


@pytest.fixture(autouse=True)
def links():
    yield
    connections.close_all()


def rows(ran, alias: str = "default") -> list[list[str]]:
    """Return the cells of an alias' rows: state, server and address of each."""
    found = [re.split(r" {2,}", each) for each in ran.lines if each[:1].isalpha()]
    return [[row[1], row[2], row[-1]] for row in found if row[0] == alias]


def plain(text: str) -> str:
    return " ".join(text.split())


def standing(server: str) -> str:
    """Return what stands behind name and version."""
    return server.split(" ", 2)[2]


def test_a_primary_and_its_replicas_are_a_row_each(manage, places):
    servers = places.fresh("valkey-replicated")
    ran = manage("status", caches={"default": ours(servers.url())})
    found = rows(ran)

    assert ran.code == 0
    assert [state for state, _, _ in found] == ["up"] * 3
    assert standing(found[0][1]) == "primary"
    assert all(
        re.fullmatch(r"replica, \d+ bytes behind", standing(server))
        for _, server, _ in found[1:]
    )
    assert {address for *_, address in found} == {
        f"127.0.0.1:{each.port}/0" for each in servers.nodes
    }


def test_a_replica_that_has_everything_is_0_bytes_behind(manage, places):
    servers = places.fresh("valkey-replicated")
    caches = {"default": ours(servers.url())}

    def is_even() -> bool:
        found = rows(manage("status", caches=caches))
        return [standing(server) for _, server, _ in found[1:]] == [
            "replica, 0 bytes behind"
        ] * 2

    until(is_even, "the replicas have caught up")


def test_sentinels_have_rows_too(manage, places):
    servers = places.fresh("redis_debian-sentinel")
    ran = manage("status", caches={"default": ours(servers.url())})
    found = rows(ran)

    assert ran.code == 0
    assert [standing(server) for _, server, _ in found[3:]] == [
        "sentinel, one of 3"
    ] * 3
    assert [address for *_, address in found[3:]] == [
        f"127.0.0.1:{each.port}" for each in servers.sentinels
    ]
    assert found[0][2] == f"127.0.0.1:{servers.primary.port}/0"


def test_the_nodes_of_a_cluster_show_their_slots_and_their_distance(manage, places):
    cluster = places.fresh("valkey-cluster")
    found = rows(manage("status", caches={"default": ours(cluster.url())}))
    by_port = {
        int(address[:-2].rpartition(":")[2]): server for _, server, address in found
    }
    slots = {
        port: int(match[1])
        for port, server in by_port.items()
        if (match := re.search(r"cluster primary, (\d+) slots$", server))
    }

    assert slots == {each.port: len(cluster.slots(each)) for each in cluster.primaries}
    assert sum(slots.values()) == 16384
    for each in cluster.replicas:
        assert "cluster replica" in by_port[each.port]


def test_a_replica_stands_below_its_primary(manage, places):
    cluster = places.fresh("valkey-cluster")
    found = rows(manage("status", caches={"default": ours(cluster.url())}))
    ports = [int(address[:-2].rpartition(":")[2]) for *_, address in found]

    assert len(ports) == 6
    for primary, replica in zip(ports[::2], ports[1::2], strict=True):
        (leader,) = [each for each in cluster.primaries if each.port == primary]
        assert [each.port for each in cluster.replicas_of(leader)] == [replica]


def test_doctor_tells_of_every_server(manage, places):
    servers = places.fresh("redis_debian-sentinel")
    ran = manage("doctor", caches={"default": ours(servers.url())})

    assert ran.code == 0
    assert ran.text.count("Server: ") == 6
    assert "No errors, no warnings." in ran.text
    assert f"Server: 127.0.0.1:{servers.primary.port}/0, redis " in ran.text
    assert "sentinel, one of 3" in ran.text
    assert "main/0 by Sentinel" in ran.text


def test_a_replica_that_is_gone_is_down_and_exit_code_1(manage):
    with Replication("valkey", replicas=1) as servers:
        servers.replicas[0].kill()
        caches = {"default": ours(servers.url())}
        seen, told = manage("status", caches=caches), manage("doctor", caches=caches)

    assert (seen.code, told.code) == (1, 1)
    assert [row[:2] for row in rows(seen)][1] == ["DOWN", "replica"]
    assert "refused" in seen.text
    assert f"127.0.0.1:{servers.replicas[0].port}/0 cannot be asked" in plain(told.text)


def test_a_replica_that_is_cut_off_is_a_warning(manage):
    with Replication("valkey", replicas=1) as servers:
        replica = servers.replicas[0]
        replica.ask("REPLICAOF", "127.0.0.1", free_port())
        caches = {"default": ours(servers.url())}
        seen, told = manage("status", caches=caches), manage("doctor", caches=caches)

    assert standing(rows(seen)[1][1]) == "replica, cut off from its primary"
    assert (
        f"The replica 127.0.0.1:{replica.port}/0 is cut off from its primary. It is "
        "not read from, and cannot take over."
    ) in plain(told.text)
    assert told.code == 0


LOCKS = {"REDPONY": {"LOCKS": {}}}
HASTY = "whether or not a replica follows (min-replicas-to-write is 0)"


def test_locks_that_a_failover_may_lose_are_a_warning(manage):
    with Replication("valkey", replicas=1) as servers:
        caches = {"default": ours(servers.url())}
        without = plain(manage("doctor", caches=caches).text)
        told = plain(manage("doctor", caches=caches, **LOCKS).text)
        servers.primary.ask("CONFIG", "SET", "min-replicas-to-write", 1)
        after = plain(manage("doctor", caches=caches, **LOCKS).text)

    assert (
        f"The primary 127.0.0.1:{servers.primary.port}/0 answers {HASTY}, and locks "
        "live here: one that was taken just before a failover may be unknown after it, "
        "and somebody else gets it too. min-replicas-to-write 1 makes that rarer; what "
        "is written in the name of a fence (held.fence) is safe from it."
    ) in told
    assert HASTY not in without
    assert HASTY not in after


def test_all_primaries_of_a_cluster_are_one_warning(manage, places):
    cluster = places.fresh("redis_debian-cluster")
    for name in "abcdefgh":
        cluster.node_for(name).ask("SET", name, "something")
    # Redis keeps a replica to itself until it has heard that it has data.
    until(
        lambda: all(
            len(shard) > 3 for shard in cluster.nodes[0].ask("CLUSTER", "SLOTS")
        ),
        "every primary's replica is listed",
    )
    caches = {"default": ours(cluster.url())}
    told = plain(manage("doctor", caches=caches, **LOCKS).text)

    assert told.count(HASTY) == 1
    assert f"answer {HASTY}" in told
    for each in cluster.primaries:
        assert f"127.0.0.1:{each.port}/0" in told.partition(HASTY)[0]


def test_servers_of_which_none_leads_are_an_error(manage, places):
    servers = places.fresh("valkey-replicated")
    location = [each.url() for each in servers.replicas]
    ran = manage("doctor", caches={"default": ours(location)})

    assert ran.code == 1
    assert "None of the servers is a primary now: nothing can be written." in plain(
        ran.text
    )


def test_a_sentinel_that_is_gone_is_down(manage):
    with Sentinel("redis", replicas=0, sentinels=2) as servers:
        servers.sentinels[0].kill()
        caches = {"default": ours(servers.url())}
        seen, told = manage("status", caches=caches), manage("doctor", caches=caches)

    assert seen.code == 1
    assert ["DOWN", "sentinel"] in [row[:2] for row in rows(seen)]
    text = plain(told.text)
    assert '2 sentinels watch "main": with fewer than 3' in text
    assert "There is no replica: when the primary is lost, so is what it holds" in text
    assert "LOCATION names 2 sentinels" in text


def test_sentinels_that_know_no_such_service_are_an_error(manage, places):
    servers = places.fresh("valkey-sentinel")
    location = servers.url().replace("/main/", "/mian/")
    ran = manage("status", caches={"default": ours(location)})

    assert ran.code == 1
    assert rows(ran)[-1][0] == "DOWN"
    assert 'No sentinel watches a service "mian"' in plain(ran.text)


def assigned(node) -> int:
    said = node.ask("CLUSTER", "INFO").decode()
    return int(re.search(r"cluster_slots_assigned:(\d+)", said)[1])


def test_slots_without_a_server_are_an_error(manage):
    with Cluster("valkey", replicas=0) as cluster:
        caches = {"default": ours(cluster.url())}
        told = plain(manage("doctor", caches=caches).text)
        lost = cluster.slots(cluster.primaries[0])[:100]
        for each in cluster.nodes:
            each.ask("CLUSTER", "DELSLOTS", *lost)
        until(
            lambda: {assigned(each) for each in cluster.nodes} == {16284},
            "the slots are nobody's",
        )
        seen = manage("status", caches=caches)

    assert "3 primaries of the cluster have no replica" in told
    assert seen.code == 1
    assert "The cluster has no server for 100 of its 16384 slots" in plain(seen.text)


def test_a_cluster_that_does_not_answer_is_down(manage):
    caches = {"default": ours(f"redis+cluster://127.0.0.1:{free_port()}")}
    ran = manage("status", caches=caches)

    assert ran.code == 1
    assert rows(ran) == [["DOWN", "-", rows(ran)[0][2]]]
    assert "No server of the cluster answers" in plain(ran.text)


def test_a_single_server_named_as_a_cluster_is_told_so(manage, valkey):
    caches = {"default": ours(f"redis+cluster://127.0.0.1:{valkey.port}")}
    ran = manage("status", caches=caches)

    assert ran.code == 1
    assert "the server is not part of one; write redis:// for one server" in plain(
        ran.text
    )


def test_offline_asks_none_of_them(manage):
    location = f"redis+sentinel://127.0.0.1:{free_port()}/main"
    ran = manage("doctor", "--offline", caches={"default": ours(location)})

    assert ran.code == 0
    assert "Server:" not in ran.text


def test_a_missing_certificate_of_the_sentinels_is_an_error(manage):
    alias = ours(
        "rediss+sentinel://127.0.0.1/main",
        OPTIONS={
            "TLS": {"CA_FILE": "/etc/hostname"},
            "SENTINEL_TLS": {"CA_FILE": "/no"},
        },
    )
    ran = manage("doctor", "--offline", caches={"default": alias})

    assert ran.code == 1
    assert "SENTINEL_TLS CA_FILE: there is no /no." in ran.text
    assert ran.text.count("there is no") == 1


def test_settings_of_django_redis_for_sentinels_work_as_they_are(manage, places):
    servers = places.fresh("valkey-sentinel")
    alias = theirs(
        "redis://main/0",
        OPTIONS={
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "SENTINELS": [(each.host, each.port) for each in servers.sentinels],
        },
    )
    ran = manage(
        "doctor",
        caches={"default": alias},
        DJANGO_REDIS_CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
    )

    assert ran.code == 0
    assert ran.text.count("Server: ") == 6
    assert '"READ_FROM": "replica",' in ran.text


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        (
            {"SENTINELS": [("10.0.0.1", 26379)]},
            '"SENTINELS": [("10.0.0.1", 26379)],',
        ),
        (
            {"SENTINEL_KWARGS": {"password": "hunter2", "socket_timeout": 2}},
            '"SENTINEL_KWARGS": {"socket_timeout": 2.0},',
        ),
        (
            {"SENTINEL_KWARGS": {"password": "hunter2"}},
            '"SENTINEL_PASSWORD": os.environ["REDIS_SENTINEL_PASSWORD"],',
        ),
        (
            {"SENTINEL_KWARGS": {"ssl": True, "ssl_ca_certs": "/etc/hostname"}},
            '"SENTINEL_TLS": {"CA_FILE": "/etc/hostname"},',
        ),
        ({"SENTINEL_KWARGS": {"ssl": True}}, '"SENTINEL_TLS": True,'),
        (
            {"ADDRESS_REMAP": {"10.0.0.1:6379": "gate", "10.0.0.2": "gate"}},
            '"ADDRESS_REMAP": {"10.0.0.1:6379": "gate:6379", "10.0.0.2": "gate"},',
        ),
    ],
)
def test_the_suggested_settings_keep_what_was_said_of_sentinels(
    manage, options, printed
):
    alias = theirs(
        "redis://main/0", OPTIONS={"SENTINELS": [("10.0.0.1", 26379)], **options}
    )
    ran = manage("doctor", "--offline", caches={"default": alias})

    assert ran.code == 0
    assert printed in ran.text
    assert "hunter2" not in ran.text
