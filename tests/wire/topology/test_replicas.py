"""A primary and its replicas: who is read from, who is written to, and who is left out."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from redpony.commands import (
    DBSIZE,
    GET,
    HSCAN,
    MGET,
    PING,
    SCAN,
    SET,
    Access,
    Repeat,
    Script,
    call,
)
from redpony.errors import (
    NotPrimary,
    RedponyError,
    Unavailable,
)
from tests.servers import Replication
from tests.wire.links import INCR, one, until
from tests.wire.topology.conftest import MakeTopo
from tests.wire.topology.topologies import Topo

READS = Script("reads", "return redis.call('GET', KEYS[1])")

BOTH = {"read_from": "replica", "read_your_writes": 0.0}


def asked(group: Any, link: Topo, times: int = 12) -> dict[str, int]:
    """Return which of the servers answered how many of some reads."""
    counts = {}
    before = {node: _gets(node) for node in group.nodes if node.is_up}
    for _ in range(times):
        link.ask(GET(b"k"))
    for node, calls in before.items():
        counts[node.address] = _gets(node) - calls
    return counts


def _gets(node: Any) -> int:
    return node.info("commandstats").get("cmdstat_get", {}).get("calls", 0)


def test_without_being_told_otherwise_the_primary_answers_all(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication)
    assert link.ask(SET(b"k", b"v")) == b"OK"
    counts = asked(replication, link)
    assert counts.pop(replication.primary.address) == 12
    assert set(counts.values()) == {0}


def test_reads_are_spread_over_the_replicas(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    link.look()
    counts = asked(replication, link)
    assert counts.pop(replication.primary.address) == 0
    assert sorted(counts.values()) == [6, 6]


def test_what_writes_or_gives_out_pages_is_the_primarys(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH)
    with replication.primary.counting() as counted:
        link.ask(SET(b"k", b"v"))
        link.ask(INCR(b"n"))
        link.ask(SCAN(b"0"))
        link.ask(HSCAN(b"h", b"0"))
        link.ask(call(READS, (b"k",)))
        link.ask_all(GET(b"k"), SET(b"k", b"w"))
        link.ask_all(SET(b"a", b"1"), INCR(b"n"), atomic=True)
    for name in ("set", "incr", "scan", "hscan", "eval", "exec"):
        assert counted.commands[name] >= 1, name
    # The script's own, and that of the batch.
    assert counted.commands["get"] == 2


def test_a_script_that_only_reads_may_be_a_replicas(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    command = call(READS, (b"k",), access=Access.READ, repeat=Repeat.SAFE)
    with replication.primary.counting() as counted:
        assert [link.ask(command) for _ in range(4)] == [b"v"] * 4
    assert counted.commands["evalsha"] == 0


def test_a_transaction_has_no_slots_to_differ_in(
    replication: Replication, topo: MakeTopo
) -> None:
    for about in ({}, BOTH):
        link = topo(replication, **about)
        replies = link.ask_all(SET(b"a", b"1"), SET(b"b", b"2"), atomic=True)
        assert list(replies) == [b"OK", b"OK"]
        replies = link.ask_all(SET(b"a", b"1"), SET(b"b", b"2"), same_connection=True)
        assert list(replies) == [b"OK", b"OK"]


# -- reading one's own writes -----------------------------------------------------


def test_who_has_written_reads_from_the_primary_for_a_while(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, read_from="replica", read_your_writes=600.0)
    with replication.primary.counting() as counted:
        link.ask(GET(b"k"))
        assert link.link.reads_fresh is False
        for number in range(20):
            value = b"%d" % number
            link.ask(SET(b"k", value))
            assert link.ask(GET(b"k")) == value
            assert link.ask(MGET(b"k", b"gone")) == [value, None]
    assert (counted.commands["get"], counted.commands["mget"]) == (20, 20)


def test_a_write_in_a_batch_is_a_write(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, read_from="replica", read_your_writes=600.0)
    for number in range(10):
        value = b"%d" % number
        link.ask_all(PING(), SET(b"k", value))
        assert list(link.ask_all(GET(b"k"), PING())) == [value, b"PONG"]


@pytest.mark.flavour("valkey")
def test_another_thread_has_not_written(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, read_from="replica", read_your_writes=600.0)
    fresh: list[bool] = []
    link.link.blocking.ask(SET(b"k", b"v"))
    fresh.append(link.link.reads_fresh)
    thread = threading.Thread(target=lambda: fresh.append(link.link.reads_fresh))
    thread.start()
    thread.join()
    assert fresh == [True, False]


@pytest.mark.flavour("valkey")
def test_a_task_shares_what_it_wrote_with_the_tasks_that_it_starts(
    replication: Replication, topo: MakeTopo
) -> None:
    made = topo(replication, read_from="replica", read_your_writes=600.0)
    link = made.link

    async def fresh() -> bool:
        return bool(link.reads_fresh)

    async def writes() -> bool:
        await link.arun(one(SET(b"k", b"v")))
        return await fresh()

    async def read() -> Any:
        return await link.arun(one(GET(b"k")))

    async def main() -> None:
        # What a child has written is the child's.
        assert await asyncio.gather(fresh(), writes(), fresh()) == [False, True, False]
        assert await fresh() is False
        # What the task itself has written, its children read as well.
        await writes()
        assert (
            await asyncio.gather(fresh(), fresh(), asyncio.create_task(fresh()))
            == [True] * 3
        )
        assert await asyncio.gather(read(), read()) == [b"v", b"v"]
        for node in link.nodes():
            for state in list(node.awaiting.loops.by_loop.values()):
                state.close()

    asyncio.run(main())


# -- replicas that cannot answer ----------------------------------------------------


@pytest.mark.flavour("redis_debian")
def test_a_replica_that_is_down_is_not_missed(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    link.look()
    down, well = replication.replicas
    down.kill()
    assert [link.ask(GET(b"k")) for _ in range(12)] == [b"v"] * 12
    counts = asked(replication, link)
    assert counts == {replication.primary.address: 0, well.address: 12}


@pytest.mark.flavour("redis_debian")
def test_all_replicas_down_leave_the_primary(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    for replica in replication.replicas:
        replica.kill()
    assert [link.ask(GET(b"k")) for _ in range(12)] == [b"v"] * 12


@pytest.mark.flavour("valkey")
def test_a_replica_that_hangs_leaves_time_for_another(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH, deadline=1.0, connect_timeout=1.0)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    assert [link.ask(GET(b"k")) for _ in range(4)] == [b"v"] * 4
    hung = replication.replicas[0]
    hung.pause()
    try:
        assert [link.ask(GET(b"k")) for _ in range(12)] == [b"v"] * 12
    finally:
        hung.resume()


@pytest.mark.parametrize("stale", ["yes", "no"])
@pytest.mark.flavour("valkey")
def test_a_replica_that_has_lost_its_primary_is_left_out(
    stale: str, replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    lost, well = replication.replicas
    lost.ask("CONFIG", "SET", "replica-serve-stale-data", stale)
    # Nobody is there.
    lost.ask("REPLICAOF", "127.0.0.1", "1")
    link.look()
    try:
        counts = asked(replication, link)
        assert counts == {
            replication.primary.address: 0,
            well.address: 12,
            lost.address: 0,
        }
    finally:
        lost.ask("CONFIG", "SET", "replica-serve-stale-data", "yes")
        lost.follow(replication.primary)
        lost.await_sync()
    # It comes back with the next look.
    link.look()
    assert asked(replication, link)[lost.address] == 6


@pytest.mark.flavour("redis_debian")
def test_a_replica_that_refuses_stale_reads_costs_no_answer(
    replication: Replication, topo: MakeTopo
) -> None:
    # Before any look has found it out: it says MASTERDOWN.
    link = topo(replication, **BOTH, refresh=600.0)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    lost = replication.replicas[0]
    lost.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
    lost.ask("REPLICAOF", "127.0.0.1", "1")
    try:
        assert [link.ask(GET(b"k")) for _ in range(12)] == [b"v"] * 12
        batch = [GET(b"k"), DBSIZE(), GET(b"k")]
        for _ in range(4):
            assert list(link.ask_all(*batch)) == [b"v", 1, b"v"]
    finally:
        lost.ask("CONFIG", "SET", "replica-serve-stale-data", "yes")
        lost.follow(replication.primary)
        lost.await_sync()


@pytest.mark.flavour("redis_debian")
def test_a_replica_that_is_loading_costs_no_answer(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication, **BOTH)
    link.ask(SET(b"k", b"v"))
    replication.settled()
    loading = replication.replicas[0]
    # It reads its file for some seconds, and says LOADING meanwhile.
    filler = [word for n in range(300) for word in (f"filler:{n}", "x" * 1000)]
    replication.ask("MSET", *filler)
    loading.ask("CONFIG", "SET", "loading-process-events-interval-bytes", "1024")
    loading.ask("CONFIG", "SET", "key-load-delay", "20000")
    nothing = threading.Thread(target=_reload, args=(loading,))
    nothing.start()
    try:
        until(lambda: loading.info("persistence")["loading"] == 1)
        assert [link.ask(GET(b"k")) for _ in range(12)] == [b"v"] * 12
        assert loading.info("persistence")["loading"] == 1
    finally:
        loading.kill()
        nothing.join()


def _reload(server: Any) -> None:
    import redis

    try:
        server.ask("DEBUG", "RELOAD")
    except redis.RedisError:
        pass


# -- promotion -----------------------------------------------------------------------


@pytest.mark.flavour("redis_debian", "valkey")
def test_promotion_is_noticed_by_the_first_write(
    replication: Replication, topo: MakeTopo
) -> None:
    for about in ({}, BOTH):
        link = topo(replication, **about)
        assert link.ask(SET(b"k", b"old")) == b"OK"
        old = replication.primary
        new = replication.promote()
        # The connection to the old one is still open; it says READONLY.
        assert link.ask(SET(b"k", b"new")) == b"OK"
        assert new.ask("GET", "k") == b"new"
        assert link.ports["primaries"] == [new.port]
        assert link.ports["replicas"] == sorted(
            node.port for node in replication.nodes if node is not new
        )
        assert old.role == "replica"


@pytest.mark.flavour("valkey")
def test_what_a_batch_was_refused_goes_to_the_new_primary(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication)
    assert link.ask(INCR(b"n")) == 1
    new = replication.promote()
    assert list(link.ask_all(INCR(b"n"), GET(b"k"), INCR(b"n"))) == [2, None, 3]
    assert list(link.ask_all(INCR(b"n"), INCR(b"n"), atomic=True)) == [4, 5]
    assert new.ask("GET", "n") == b"5"


@pytest.mark.flavour("redis_debian")
def test_a_primary_that_is_dead_is_replaced_as_soon_as_another_leads(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication)
    assert link.ask(SET(b"k", b"v")) == b"OK"
    replication.settled()
    replication.primary.kill()
    met = link.meet(SET(b"k", b"w"))
    assert isinstance(met, Unavailable)
    new = replication.promote()
    assert link.until_answered(SET(b"k", b"w")) == b"OK"
    assert new.ask("GET", "k") == b"w"


@pytest.mark.flavour("valkey")
def test_an_old_primary_that_comes_back_as_a_replica_is_not_written_to(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication)
    assert link.ask(SET(b"k", b"v")) == b"OK"
    old = replication.primary
    # Nobody looks: what a connection finds out is all there is.
    link.link.watcher.stop()
    new = replication.promote()
    old.hang_up()
    met: list[Any] = []
    link.link.watcher.ask = lambda told: told(None)
    link.link.watcher.nudge = lambda: None
    for _ in range(4):
        met.append(link.meet(SET(b"k", b"w")))
    assert {type(each) for each in met} == {NotPrimary}
    assert {each.outcome for each in met} == {"not_sent"}
    assert new.ask("GET", "k") == b"v"
    del link.link.watcher.ask, link.link.watcher.nudge
    assert link.ask(SET(b"k", b"w")) == b"OK"


@pytest.mark.flavour("valkey")
def test_of_two_that_lead_the_one_in_use_stays(
    replication: Replication, topo: MakeTopo
) -> None:
    link = topo(replication)
    assert link.ask(SET(b"k", b"v")) == b"OK"
    old = replication.primary
    new = replication.promote()
    assert link.ask(SET(b"k", b"w")) == b"OK"
    # The old one comes back, and believes that it leads.
    old.lead()
    for _ in range(3):
        assert link.look() is None
        assert link.ports["primaries"] == [new.port]
    assert old.port not in link.ports["replicas"]
    assert link.ask(INCR(b"n")) == 1
    assert old.ask("GET", "n") is None


@pytest.mark.flavour("valkey")
def test_the_first_of_a_list_may_be_a_replica(
    replication: Replication, topo: MakeTopo
) -> None:
    from tests.wire.topology.conftest import tcp

    primary, *replicas = replication.nodes
    link = topo(replication, at=map(tcp, [*replicas, primary]))
    assert link.ask(SET(b"k", b"v")) == b"OK"
    assert primary.ask("GET", "k") == b"v"


@pytest.mark.flavour("valkey")
def test_with_all_servers_down_the_error_says_which(
    replication: Replication, topo: MakeTopo
) -> None:
    for node in replication.nodes:
        node.kill()
    for about in ({}, BOTH):
        link = topo(replication, **about)
        for command in (GET(b"k"), SET(b"k", b"v")):
            met = link.meet(command)
            assert isinstance(met, Unavailable)
            assert met.outcome == "not_sent"
            assert str(replication.nodes[0].port) in str(met)


def test_a_reply_of_the_server_is_the_callers(
    replication: Replication, topo: MakeTopo
) -> None:
    replication.ask("LPUSH", "list", "x")
    for about in ({}, BOTH):
        link = topo(replication, **about)
        met = link.meet(GET(b"list"))
        assert isinstance(met, RedponyError)
        assert not isinstance(met, Unavailable)
