"""A cluster whose slots move and whose servers come and go, asked without an error."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from redpony.commands import (
    BLPOP,
    DBSIZE,
    DEL,
    EXISTS,
    FLUSHDB,
    GET,
    MGET,
    MSET,
    PING,
    RENAME,
    RPUSH,
    SCAN,
    SET,
    SINTER,
    Script,
    call,
)
from redpony.errors import (
    ClusterDown,
    CrossSlot,
    DeadlineExceeded,
    InvalidSetting,
    RedponyError,
    TryAgain,
    Unavailable,
)
from redpony.testing.chaos import Proxies
from redpony.wire.config import Cluster as ClusterTopology
from redpony.wire.config import LinkConfig, Tcp
from tests.colours import Colour
from tests.hostile import HELLO, FakeServer, Peer
from tests.servers import Cluster, Server, free_port
from tests.wire.links import INCR, until
from tests.wire.topology.conftest import MakeTopo, tcp
from tests.wire.topology.topologies import Topo, moved_slot, other_primary

ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
KEYS = [b"key:%d" % number for number in range(30)]
ONE_COLOUR = pytest.mark.parametrize("colour", ["sync"], indirect=True)


def owner_of(link: Topo, cluster: Cluster, key: bytes) -> int:
    """Return the port of who has a key, by what the link believes."""
    shard = link.link.shape.table[cluster.slot_of(key)]
    return int(shard.primary.address.port)


def scan(link: Topo, *between: Any) -> list[bytes]:
    """Return all that a scan finds; do one thing after each page."""
    found: list[bytes] = []
    left = list(between)
    cursor: Any = b"0"
    while True:
        cursor, names = link.ask(SCAN(cursor, b"COUNT", b"3"))
        found += names
        if cursor == b"0":
            return found
        if left:
            left.pop(0)()


def test_every_command_goes_where_its_keys_are(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    with cluster.counting() as counted:
        for key in KEYS:
            assert link.ask(SET(key, b"v" + key)) == b"OK"
        for key in KEYS:
            assert link.ask(GET(key)) == b"v" + key
    # Nobody was sent on.
    assert (counted.commands["set"], counted.commands["get"]) == (30, 30)
    assert link.ask(MGET(*KEYS)) == [b"v" + key for key in KEYS]
    assert link.ask(EXISTS(*KEYS, b"gone", KEYS[0])) == 31
    assert link.ask(DBSIZE()) == 30
    assert set(scan(link)) == set(KEYS)
    assert link.ask(DEL(*KEYS[:10], b"gone")) == 10
    assert link.ask(MSET(*(word for key in KEYS for word in (key, b"w")))) == b"OK"
    assert set(link.ask(MGET(*KEYS))) == {b"w"}
    assert link.ask(FLUSHDB()) == b"OK"
    assert link.ask(DBSIZE()) == 0
    assert link.ask(PING()) == b"PONG"


def test_a_batch_goes_to_all_servers_and_comes_back_in_order(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    commands = [
        each for key in KEYS for each in (SET(key, b"1"), INCR(key), GET(key))
    ] + [DBSIZE(), PING(), MGET(*KEYS)]
    replies = link.ask_all(*commands)
    assert list(replies) == [b"OK", 2, b"2"] * 30 + [30, b"PONG", [b"2"] * 30]


def test_keys_of_several_slots_that_one_command_needs_are_refused_unsent(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    link.ask(PING())
    with cluster.counting() as counted:
        for command in (
            SINTER(*KEYS),
            RENAME(KEYS[0], KEYS[1]),
            call(ADD, tuple(KEYS[:2])),
        ):
            met = link.meet(command)
            assert isinstance(met, CrossSlot)
            assert "{user:1}:a" in str(met)
    assert counted.commands == {}
    assert link.ask(SINTER(b"{t}a", b"{t}b")) in ([], set())


def test_a_script_goes_where_its_keys_are(cluster: Cluster, topo: MakeTopo) -> None:
    link = topo(cluster)
    for count in (1, 2):
        for key in KEYS[:10]:
            assert link.ask(call(ADD, (key,), (b"1",))) == count


def test_a_transaction_goes_where_its_keys_are(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    for key in KEYS[:10]:
        assert list(link.ask_all(INCR(key), INCR(key), atomic=True)) == [1, 2]
    replies = link.ask_all(INCR(KEYS[0]), INCR(KEYS[1]), atomic=True)
    assert {type(each) for each in replies} == {CrossSlot}
    assert link.ask(GET(KEYS[0])) == b"2"


# -- slots that move --------------------------------------------------------------


def test_moved_updates_the_table(cluster: Cluster, topo: MakeTopo) -> None:
    key = KEYS[0]
    link = topo(cluster, refresh=3600.0)
    assert link.ask(INCR(key)) == 1
    old = cluster.node_for(key)
    with moved_slot(cluster, key) as target:
        assert link.ask(INCR(key)) == 2
        assert owner_of(link, cluster, key) == target.port
        with old.counting() as counted:
            assert link.ask(INCR(key)) == 3
        assert counted.commands["incr"] == 0
    # And back.
    assert link.ask(INCR(key)) == 4
    assert owner_of(link, cluster, key) == old.port


def test_ask_leaves_the_table_as_it_is(cluster: Cluster, topo: MakeTopo) -> None:
    key = KEYS[0]
    link = topo(cluster)
    assert link.ask(INCR(key)) == 1
    source = cluster.node_for(key)
    with cluster.migrating(cluster.slot_of(key), other_primary(cluster, key)) as moving:
        moving.move(key)
        assert [link.ask(INCR(key)) for _ in range(3)] == [2, 3, 4]
        assert list(link.ask_all(INCR(key), GET(key), PING())) == [5, b"5", b"PONG"]
        assert list(link.ask_all(INCR(key), GET(key), atomic=True)) == [6, b"6"]
        assert list(link.ask_all(INCR(key), GET(key), same_connection=True)) == [
            7,
            b"7",
        ]
        assert owner_of(link, cluster, key) == source.port
        # What is not there yet comes to be where the slot goes.
        tagged = b"{" + key + b"}new"
        assert link.ask(SET(tagged, b"v")) == b"OK"
        assert moving.target.ask("CLUSTER", "COUNTKEYSINSLOT", moving.slot) == 2
    assert link.ask(GET(key)) == b"7"


def test_a_script_that_the_target_does_not_know_runs_there(
    cluster: Cluster, topo: MakeTopo
) -> None:
    key = KEYS[0]
    link = topo(cluster)
    assert link.ask(call(ADD, (key,), (b"1",))) == 1
    with cluster.migrating(cluster.slot_of(key), other_primary(cluster, key)) as moving:
        moving.move(key)
        assert [link.ask(call(ADD, (key,), (b"1",))) for _ in range(3)] == [2, 3, 4]


def test_keys_on_both_sides_of_a_migration_are_answered(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    here, there = b"{t}here", b"{t}there"
    assert link.ask(MSET(here, b"1", there, b"2")) == b"OK"
    with cluster.migrating(
        cluster.slot_of(b"t"), other_primary(cluster, b"t")
    ) as moving:
        moving.move(there)
        assert link.ask(MGET(here, there)) == [b"1", b"2"]
        assert link.ask(EXISTS(here, there)) == 2
        assert link.ask(MSET(here, b"3", there, b"4")) == b"OK"
        assert link.ask(MGET(here, there)) == [b"3", b"4"]
        assert link.ask(DEL(here, there)) == 2


def test_what_needs_keys_of_both_sides_waits_for_the_migration(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    here, there = b"{t}here", b"{t}there"
    link.ask(MSET(here, b"1", there, b"2"))
    with cluster.migrating(
        cluster.slot_of(b"t"), other_primary(cluster, b"t")
    ) as moving:
        moving.move(there)
        hurried = topo(cluster, deadline=0.1)
        hurried.ask(PING())
        met = hurried.meet(RENAME(here, there))
        assert isinstance(met, Unavailable)
        assert met.outcome in ("refused", "not_sent")
        assert link.meet_while(RENAME(here, there), lambda: moving.move(here)) == b"OK"
    assert link.ask(MGET(here, there)) == [None, b"1"]


def test_a_list_that_is_waited_for_is_found_where_it_has_gone(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster, refresh=3600.0)
    link.ask(PING())
    with moved_slot(cluster, KEYS[0]):
        cluster.ask("RPUSH", KEYS[0], "x")
        assert link.wait(BLPOP(KEYS[0], b"10"), 10) == [KEYS[0], b"x"]


def test_who_waits_for_a_list_follows_its_slot(
    cluster: Cluster, topo: MakeTopo
) -> None:
    key = KEYS[0]
    link = topo(cluster, refresh=3600.0)
    link.ask(PING())
    with contextlib.ExitStack() as stack:

        def move_and_push() -> None:
            until(lambda: _blocked(cluster))
            stack.enter_context(moved_slot(cluster, key))
            until(lambda: _blocked(cluster))
            cluster.ask("RPUSH", key, "x")

        thread = threading.Thread(target=move_and_push)
        thread.start()
        assert link.wait(BLPOP(key, b"20"), 20) == [key, b"x"]
        thread.join()


def _blocked(cluster: Cluster) -> bool:
    return any("b" in each["flags"] for each in cluster.users())


@pytest.mark.flavour("redis_debian")
def test_resharding_under_load_costs_no_answer(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    for key in KEYS:
        link.ask(SET(key, b"0"))
    source, target, _ = cluster.primaries
    counts = dict.fromkeys(KEYS, 0)
    done = threading.Event()
    failed: list[Any] = []

    def reshard() -> None:
        try:
            cluster.reshard(300, source, target)
            cluster.reshard(300, target, source)
        except BaseException as error:
            failed.append(error)
        done.set()

    thread = threading.Thread(target=reshard)
    thread.start()
    while not done.is_set():
        for key in KEYS:
            counts[key] += 1
            assert link.ask(INCR(key)) == counts[key]
        found = link.ask(MGET(*KEYS))
        assert found == [b"%d" % counts[key] for key in KEYS]
        assert link.ask(call(ADD, (KEYS[0],), (b"1",))) == counts[KEYS[0]] + 1
        counts[KEYS[0]] += 1
        assert set(scan(link)) == set(KEYS)
    thread.join()
    assert failed == []


def test_a_scan_finds_what_moves_behind_its_back(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster, refresh=3600.0)
    keys = [b"key:%d" % number for number in range(60)]
    for key in keys:
        link.ask(SET(key, b"v"))
    for key in keys[::20]:
        with contextlib.ExitStack() as stack:
            found = scan(
                link,
                lambda key=key, stack=stack: stack.enter_context(
                    moved_slot(cluster, key)
                ),
                lambda stack=stack: stack.close(),
            )
        assert set(found) == set(keys)


# -- servers that come and go -----------------------------------------------------


def test_a_failover_is_followed(cluster: Cluster, topo: MakeTopo) -> None:
    key = KEYS[0]
    link = topo(cluster)
    assert link.ask(INCR(key)) == 1
    cluster.settled()
    old = cluster.node_for(key)
    new = cluster.failover(old)
    assert link.ask(INCR(key)) == 2
    assert owner_of(link, cluster, key) == new.port
    assert link.ask(MGET(*KEYS)) == [b"2", *[None] * 29]


@pytest.mark.flavour("valkey")
def test_a_primary_that_dies_is_replaced_and_the_others_go_on(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster)
    for key in KEYS:
        assert link.ask(INCR(key)) == 1
    cluster.settled()
    dead = cluster.node_for(KEYS[0])
    mine = [key for key in KEYS if cluster.node_for(key) is dead]
    dead.kill()
    others = [key for key in KEYS if key not in mine]
    assert [link.ask(GET(key)) for key in others] == [b"1"] * len(others)
    error = link.meet(MGET(*KEYS))
    assert isinstance(error, Unavailable)
    assert error.partial is not None
    assert [
        item for key, item in zip(KEYS, error.partial, strict=True) if key in others
    ] == [b"1"] * len(others)
    for key in mine:
        assert link.until_answered(INCR(key)) == 2
    assert link.until_answered(MGET(*KEYS)) == [
        b"2" if key in mine else b"1" for key in KEYS
    ]


@pytest.mark.flavour("valkey")
def test_replicas_answer_while_their_primary_is_replaced(
    cluster: Cluster, topo: MakeTopo
) -> None:
    link = topo(cluster, read_from="replica", read_your_writes=0.0)
    for key in KEYS:
        link.ask(SET(key, b"v"))
    cluster.settled()
    cluster.node_for(KEYS[0]).kill()
    for _ in range(3):
        assert [link.ask(GET(key)) for key in KEYS] == [b"v"] * 30
        assert link.ask(MGET(*KEYS)) == [b"v"] * 30


def test_replicas_are_read_from(cluster: Cluster, topo: MakeTopo) -> None:
    link = topo(cluster, read_from="replica", read_your_writes=0.0)
    for key in KEYS:
        link.ask(SET(key, b"v"))
    cluster.settled()
    # A cluster that has just been made does not name replicas that have nothing yet.
    until(lambda: link.look() is None and len(link.ports["replicas"]) == 3)
    with contextlib.ExitStack() as stack:
        counts = [stack.enter_context(node.counting()) for node in cluster.primaries]
        assert [link.ask(GET(key)) for key in KEYS] == [b"v"] * 30
        assert link.ask(MGET(*KEYS)) == [b"v"] * 30
        assert list(link.ask_all(*map(GET, KEYS))) == [b"v"] * 30
    assert [each.commands["get"] for each in counts] == [0, 0, 0]


@ONE_COLOUR
def test_a_slot_of_nobody_is_named(topo: MakeTopo) -> None:
    with Cluster("valkey", primaries=1, replicas=0) as small:
        link = topo(small)
        slot = small.slot_of(KEYS[0])
        small.nodes[0].ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        assert link.ask(INCR(KEYS[0])) == 1
        small.nodes[0].ask("CLUSTER", "DELSLOTS", slot)
        until(lambda: isinstance(link.meet(GET(KEYS[0])), ClusterDown))
        for command in (GET(KEYS[0]), INCR(KEYS[0]), MGET(*KEYS)):
            met = link.meet(command)
            assert isinstance(met, ClusterDown)
            assert f"slot {slot}" in str(met)
            assert met.outcome == "refused"
        assert link.ask(GET(KEYS[1])) is None
        link.close()


@ONE_COLOUR
def test_all_servers_may_come_back_elsewhere(topo: MakeTopo) -> None:
    # One address is where both could be reached: a name, or a load balancer's port.
    new = Cluster("valkey", primaries=3, replicas=0)
    with Cluster("valkey", primaries=3, replicas=0) as old:
        link = topo(old, at=[*map(tcp, old.nodes), tcp(new.nodes[0])])
        assert link.ask(SET(b"k", b"old")) == b"OK"
        assert link.ask(MGET(*KEYS)) == [None] * 30
    with new:
        assert link.until_answered(SET(b"k", b"new")) == b"OK"
        assert link.until_answered(MGET(*KEYS)) == [None] * 30
        assert set(link.ports["primaries"]) == {node.port for node in new.nodes}
        link.close()


@pytest.mark.flavour("valkey")
@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_node_that_is_down_or_hangs_from_the_start_delays_nobody(
    how: str, cluster: Cluster, topo: MakeTopo
) -> None:
    first, *rest = cluster.replicas
    getattr(first, how)()
    link = topo(
        cluster,
        at=map(tcp, [first, *cluster.primaries]),
        connect_timeout=2.0,
        deadline=2.0,
    )
    assert link.ask(SET(KEYS[0], b"v")) == b"OK"
    assert set(link.ports["primaries"]) == {each.port for each in cluster.primaries}
    assert rest


@ONE_COLOUR
def test_with_all_seeds_down_the_error_names_them(
    cluster: Cluster, topo: MakeTopo
) -> None:
    places = [Tcp("127.0.0.1", free_port()) for _ in range(3)]
    link = topo(cluster, at=places)
    for command in (GET(b"k"), SET(b"k", b"v"), MGET(*KEYS)):
        met = link.meet(command)
        assert isinstance(met, Unavailable)
        assert met.outcome == "not_sent"
        for place in places:
            assert str(place) in str(met)


@ONE_COLOUR
@pytest.mark.parametrize("read_from", ["primary", "replica"])
def test_a_server_that_is_no_cluster_says_so(
    read_from: Any, colour: Colour, server: Server
) -> None:
    topology = ClusterTopology(seeds=(tcp(server),), read_from=read_from)
    link = Topo.to(colour, LinkConfig(address=tcp(server)), topology)
    met = link.meet(GET(b"k"))
    assert isinstance(met, InvalidSetting)
    assert "redis://" in str(met)
    link.close()


# -- addresses --------------------------------------------------------------------


@ONE_COLOUR
def test_addresses_that_reach_nobody_are_mapped_to_those_that_do(
    cluster: Cluster, topo: MakeTopo
) -> None:
    with Proxies(cluster.nodes) as proxies:
        link = topo(
            cluster,
            at=[each.address for each in proxies],
            remap=proxies.remap,
        )
        for key in KEYS:
            assert link.ask(INCR(key)) == 1
        with moved_slot(cluster, KEYS[0]) as target:
            assert link.ask(INCR(KEYS[0])) == 2
            assert owner_of(link, cluster, KEYS[0]) == proxies[target].port
        with cluster.migrating(
            cluster.slot_of(KEYS[1]), other_primary(cluster, KEYS[1])
        ) as moving:
            moving.move(KEYS[1])
            assert link.ask(INCR(KEYS[1])) == 2
        ports = {each.port for each in proxies}
        assert {node.address.port for node in link.link.nodes()} == ports
        link.close()


@ONE_COLOUR
@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_servers_may_go_by_names(flavour: str, topo: MakeTopo) -> None:
    settings = (
        "cluster-preferred-endpoint-type hostname",
        "cluster-announce-hostname localhost",
    )
    with Cluster(flavour, replicas=0, settings=settings) as named:
        link = topo(named, at=[Tcp("localhost", named.nodes[0].port)])
        for key in KEYS:
            assert link.ask(INCR(key)) == 1
        hosts = {node.address.host for node in link.link.shape.nodes}
        assert hosts == {"localhost"}
        with moved_slot(named, KEYS[0]):
            assert link.ask(INCR(KEYS[0])) == 2
        link.close()


@ONE_COLOUR
def test_servers_that_do_not_say_where_they_are_are_where_they_were_asked(
    topo: MakeTopo,
) -> None:
    settings = ("cluster-preferred-endpoint-type unknown-endpoint",)
    with Cluster("redis", replicas=0, settings=settings) as unknown:
        link = topo(unknown, at=[tcp(unknown.nodes[1])])
        for key in KEYS:
            assert link.ask(INCR(key)) == 1
        with moved_slot(unknown, KEYS[0]):
            assert link.ask(INCR(KEYS[0])) == 2
        link.close()


@pytest.mark.parametrize("host", [b"$0\r\n\r\n", b"$-1\r\n", b"$1\r\n?\r\n", b"_\r\n"])
@ONE_COLOUR
def test_an_empty_host_is_the_host_that_was_asked(host: bytes, colour: Colour) -> None:
    def script(peer: Peer) -> None:
        command = peer.greet(HELLO.replace(b"standalone", b"cluster"))
        while True:
            name = b" ".join(command[:2]).upper()
            if name == b"CLUSTER SLOTS":
                peer.send(
                    b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n"
                    + host
                    + b":%d\r\n$2\r\nid\r\n" % fake.port
                )
            elif name == b"CLUSTER INFO":
                peer.send(b"$19\r\ncluster_state:ok\r\n\0\r\n")
            else:
                peer.send(b"$1\r\nv\r\n")
            command = peer.read()

    with FakeServer(script) as fake:
        topology = ClusterTopology(seeds=(Tcp(fake.host, fake.port),))
        config = LinkConfig(address=topology.seeds[0], deadline=5.0)
        link = Topo.to(colour, config, topology)
        assert link.ask(GET(b"k")) == b"v"
        assert link.ports["primaries"] == [fake.port]
        link.close()


def test_errors_of_a_server_are_the_callers(cluster: Cluster, topo: MakeTopo) -> None:
    link = topo(cluster)
    assert link.ask(RPUSH(KEYS[0], b"x")) == 1
    met = link.meet(GET(KEYS[0]))
    assert isinstance(met, RedponyError)
    assert not isinstance(met, (Unavailable, TryAgain))
    replies = link.ask_all(GET(KEYS[0]), GET(KEYS[1]))
    assert [isinstance(each, RedponyError) for each in replies] == [True, False]


# -- time ---------------------------------------------------------------------------


@pytest.mark.parametrize("together", [False, True])
def test_a_second_server_has_what_the_first_one_left_of_the_deadline(
    together: bool, cluster: Cluster, topo: MakeTopo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two answers in time, and both together do not."""
    with Proxies(cluster.nodes) as proxies:
        seeds = [each.address for each in proxies]
        link = topo(cluster, at=seeds, remap=proxies.remap, deadline=1.0, refresh=60)
        for key in KEYS:
            link.ask(SET(key, b"v"))
        slot = cluster.slot_of(KEYS[0])
        before = link.link.shape.table[slot]
        with moved_slot(cluster, KEYS[0]):
            # Nobody has looked since, and nobody will: who looks may take the connection,
            # and who has to open one has CONNECT_TIMEOUT for it.
            link.link.watcher.stop()
            link.link.shape.table[slot] = before
            for proxy in proxies:
                proxy.latency(600)
            with monkeypatch.context() as patch:
                patch.setattr(link.link.watcher, "_ensure", lambda: None)
                if together:
                    (met,) = link.ask_all(GET(KEYS[0])).items
                else:
                    met = link.meet(GET(KEYS[0]))
            assert isinstance(met, DeadlineExceeded)
            for proxy in proxies:
                proxy.heal()
            assert link.until_answered(GET(KEYS[0])) == b"v"
        link.close()
