"""What a link to a topology holds on to, and what it leaves behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from redpony.commands import GET, MGET, SET
from redpony.errors import from_reply
from redpony.plan import Batch
from redpony.wire.config import Cluster, LinkConfig, Replicated, Sentinels, Tcp
from redpony.wire.topology import nodes as nodes_module
from redpony.wire.topology.link import TopologyLink
from redpony.wire.topology.nodes import Node, Nodes
from redpony.wire.topology.routing import route
from redpony.wire.topology.shape import Shape, Shard
from tests.colours import Colour
from tests.places import Places
from tests.servers import free_port
from tests.wire.links import INCR, one, several, until
from tests.wire.topology.conftest import MakeTopo
from tests.wire.topology.topologies import Topo, in_threads

KEYS = [b"key:%d" % number for number in range(12)]
FORMS = ["replicated", "sentinel", "cluster"]
ONE_COLOUR = pytest.mark.parametrize("colour", ["sync"], indirect=True)


@pytest.fixture(params=FORMS)
def group(request: pytest.FixtureRequest, places: Places) -> Any:
    return places.fresh(f"valkey-{request.param}")


def watchers() -> list[threading.Thread]:
    return [
        each
        for each in threading.enumerate()
        if each.name.startswith("redpony ") and each.name != "redpony leases"
    ]


def fork(act: Callable[[], Any]) -> str:
    """Return what a forked child says of what it does."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            try:
                said = repr(act())
            except BaseException as error:
                said = f"raised {error!r}"
            os.write(writes, said.encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


# -- threads ------------------------------------------------------------------------


def test_closing_a_link_leaves_no_thread_and_no_connection(
    group: Any, topo: MakeTopo
) -> None:
    # Of tests before this one, which may have failed.
    others = set(watchers())
    link = topo(group, read_from="replica", read_your_writes=0.0)
    for _ in range(3):
        assert link.ask(SET(b"k", b"v")) == b"OK"
        link.ask(GET(b"k"))
        assert link.look() is None
        assert set(watchers()) - others
        link.close()
        # Who asked a server for the watcher has a moment more.
        until(lambda: not set(watchers()) - others)
        until(lambda: group.users() == [])
        for each in getattr(group, "sentinels", ()):
            until(lambda each=each: each.users() == [])


def test_a_link_that_was_closed_opens_again(group: Any, topo: MakeTopo) -> None:
    link = topo(group)
    for count in range(1, 4):
        assert link.ask(INCR(b"n")) == count
        link.close()


@ONE_COLOUR
def test_a_link_may_be_closed_under_load(group: Any, topo: MakeTopo) -> None:
    link = topo(group)
    link.ask(GET(b"k"))
    stop = threading.Event()

    def close() -> None:
        for _ in range(20):
            link.link.close()
            time.sleep(0.005)
        stop.set()

    counts = [0] * 4

    def work(number: int) -> None:
        key = b"n:%d" % number
        while not stop.is_set():
            counts[number] += 1
            assert link.link.run(one(INCR(key))) == counts[number]
            replies = link.link.run(several(Batch([GET(key), INCR(key), GET(b"x")])))
            counts[number] += 1
            assert list(replies) == [
                b"%d" % (counts[number] - 1),
                counts[number],
                None,
            ]

    closing = threading.Thread(target=close)
    closing.start()
    in_threads(4, work)
    closing.join()


def test_many_who_come_at_once_are_served_by_one_look(
    group: Any, topo: MakeTopo
) -> None:
    link = topo(group).link

    def ask(number: int) -> None:
        assert link.run(one(INCR(b"n:%d" % number))) == 1

    in_threads(20, ask)
    # One or two for the first question; none where nobody has to look first.
    assert link.watcher.looks <= 3


def test_a_route_that_is_under_way_goes_on_when_the_link_is_closed() -> None:
    one_, two = (Tcp("node", port) for port in (1, 2))
    link = TopologyLink(LinkConfig(address=one_), Cluster(seeds=(one_, two)))
    shards = [Shard(link.at("node", port)) for port in (1, 2)]
    link.take(Shape(shards, [shards[0]] * 16384))
    journey = route(link, [INCR(b"a"), INCR(b"b")])
    assert len(next(journey)) == 1
    link.close()
    flights: Any = journey.send([[1, from_reply("MOVED 3300 node:2")]])
    assert [each.node for each in flights] == [shards[1].primary]
    with pytest.raises(StopIteration) as done:
        journey.send([[1]])
    assert done.value.value == [1, 1]
    link.close()


def test_a_look_that_outlives_the_link_has_nobody_look_again() -> None:
    tcp = Tcp("127.0.0.1", free_port())
    configs = (LinkConfig(address=tcp),)
    link = TopologyLink(configs[0], Sentinels(service="main", sentinels=configs))
    shape = Shape([Shard(link.at("127.0.0.1", tcp.port))])
    begun, may_end = threading.Event(), threading.Event()

    def look(before: Shape | None) -> Shape:
        begun.set()
        may_end.wait(10)
        # A replica has been chosen that does not lead yet.
        link.view.restless = True  # type: ignore[union-attr]
        return shape

    link.view.look = look  # type: ignore[method-assign]
    link.watcher.start()
    begun.wait(10)
    looking = watchers()
    closing = threading.Thread(target=link.close)
    closing.start()
    until(lambda: link.watcher._stopping)
    may_end.set()
    for thread in (*looking, closing):
        thread.join(10)
    assert watchers() == []


# -- loops ---------------------------------------------------------------------------


@ONE_COLOUR
def test_thirty_loops_in_turn_leave_no_connection(group: Any, topo: MakeTopo) -> None:
    made = topo(group, read_from="replica", read_your_writes=0.0)

    async def work(number: int) -> None:
        link = made.link
        await link.arun(one(SET(KEYS[0], b"v")))
        await asyncio.gather(
            *(link.arun(one(GET(key))) for key in KEYS),
            link.arun(one(MGET(*KEYS))),
            link.arun(several(Batch([INCR(key) for key in KEYS[1:]]))),
        )

    for number in range(30):
        asyncio.run(work(number))
        assert made.opened == _blocking(made)
    for node in made.link.nodes():
        assert node.awaiting.loops.by_loop == {}


def _blocking(made: Topo) -> int:
    """Return how many connections the watcher has: in no loop."""
    return sum(node.blocking.pool.opened for node in made.link.nodes())


@ONE_COLOUR
def test_a_loop_that_ends_while_a_look_is_awaited_harms_nobody(
    group: Any, topo: MakeTopo
) -> None:
    link = topo(group).link
    for _ in range(5):
        loop = asyncio.new_event_loop()

        async def ask() -> None:
            task = asyncio.ensure_future(link.alook(10))
            await asyncio.sleep(0)
            task.cancel()

        loop.run_until_complete(ask())
        loop.close()
    assert link.look(10) is None
    assert asyncio.run(_alook(link)) is None


async def _alook(link: TopologyLink) -> Any:
    return await link.alook(10)


def test_a_task_that_gives_up_waiting_for_a_look_leaves_it_to_others(
    group: Any, topo: MakeTopo
) -> None:
    link = topo(group).link

    async def main() -> None:
        tasks = [asyncio.ensure_future(link.alook(10)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in done[::2]] == [asyncio.CancelledError] * 5
        assert done[1::2] == [None] * 5

    asyncio.run(main())


# -- fork ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@ONE_COLOUR
def test_a_child_has_connections_and_a_watcher_of_its_own(
    group: Any, topo: MakeTopo
) -> None:
    link = topo(group, read_from="replica", read_your_writes=0.0).link
    assert link.run(one(INCR(b"n"))) == 1
    assert link.look(10) is None
    link.run(several(Batch([GET(key) for key in KEYS])))

    def work() -> Any:
        before = len(watchers()), sum(n.blocking.pool.opened for n in link.nodes())
        count = link.run(one(INCR(b"n")))
        looked = link.look(10)
        many = link.run(several(Batch([INCR(key) for key in KEYS])))
        read = asyncio.run(link.arun(one(INCR(b"n"))))
        watched = len(watchers()) > 0
        link.close()
        return before, count, looked, list(many), read, watched

    for round_ in range(3):
        count = 1 + 3 * round_
        said = fork(work)
        many = [round_ + 1] * len(KEYS)
        assert said == f"((0, 0), {count + 1}, None, {many}, {count + 2}, True)"
        # The parent goes on with what it has.
        assert link.run(one(INCR(b"n"))) == count + 3
        assert link.look(10) is None


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@ONE_COLOUR
def test_a_child_leaves_the_sentinels_news_to_its_parent(
    places: Places, topo: MakeTopo
) -> None:
    group = places.fresh("valkey-sentinel")
    made = topo(group, refresh=3600.0)
    link = made.link
    assert link.run(one(INCR(b"n"))) == 1
    ears = {each.config.address.port for each in link.view._ears.links}
    assert ears

    def work() -> Any:
        inherited = len(link.view._ears.links)
        count = link.run(one(INCR(b"n")))
        heard = {each.config.address.port for each in link.view._ears.links}
        link.close()
        return inherited, count, bool(heard)

    assert fork(work) == "(0, 2, True)"
    assert {each.config.address.port for each in link.view._ears.links} == ears
    new = group.failover()
    until(lambda: made.ports["primaries"] == [new.port])


# -- memory --------------------------------------------------------------------------


def test_a_node_is_made_once_for_an_address() -> None:
    nodes = Nodes(LinkConfig(address=Tcp("a", 1)))
    found: list[Node] = []
    in_threads(8, lambda number: found.append(nodes.at("a", 1)))
    assert len(set(map(id, found))) == 1


def test_addresses_are_mapped_where_servers_name_them_and_not_where_we_do() -> None:
    def remap(host: str, port: int) -> tuple[str, int]:
        return "mapped", port + 1

    nodes = Nodes(LinkConfig(address=Tcp("a", 1)), remap)
    assert nodes.at("a", 1).address == Tcp("mapped", 2)
    assert nodes.node(Tcp("a", 1)).address == Tcp("a", 1)


def test_nodes_that_nobody_names_are_let_go_of_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(nodes_module.time, "monotonic", lambda: now[0])
    nodes = Nodes(LinkConfig(address=Tcp("a", 1)))
    given = nodes.given(Tcp("given", 1))
    kept, gone = nodes.at("kept", 1), nodes.at("gone", 1)
    now[0] += nodes_module.KEPT - 1
    nodes.prune([kept])
    assert set(nodes.all()) == {given, kept, gone}
    now[0] += 2
    nodes.prune([kept])
    assert set(nodes.all()) == {given, kept}
    # Who comes back begins anew.
    assert nodes.at("gone", 1) is not gone


def test_a_shape_that_stays_the_same_lets_go_of_what_was_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    first = LinkConfig(address=Tcp("a", 1))
    link = TopologyLink(first, Cluster(seeds=(Tcp("a", 1),)))
    monkeypatch.setattr(nodes_module.time, "monotonic", lambda: now[0])
    for generation in range(5):
        shard = Shard(link.at("node", generation))
        for _ in range(3):
            link.take(Shape([shard], [shard] * 16384))
            now[0] += nodes_module.KEPT
        now[0] += 1
        link.take(Shape([shard], [shard] * 16384))
        ports = {node.address.port for node in link.nodes()}  # type: ignore[union-attr]
        assert ports == {1, generation}


def test_a_link_that_nobody_uses_is_let_go_of() -> None:
    configs = tuple(LinkConfig(address=Tcp("a", port)) for port in (1, 2))
    link = TopologyLink(configs[0], Replicated(nodes=configs))
    gone = weakref.ref(link)
    del link
    gc.collect()
    assert gone() is None


@ONE_COLOUR
def test_a_link_that_was_used_and_closed_is_let_go_of(
    colour: Colour, places: Places
) -> None:
    group = places.fresh("valkey-cluster")
    config = LinkConfig(address=Tcp(group.host, group.nodes[0].port), deadline=5.0)
    link = TopologyLink(config, Cluster(seeds=(config.address,)))  # type: ignore[arg-type]
    assert link.run(one(INCR(b"n"))) == 1
    link.close()
    gone = weakref.ref(link)
    del link

    def collected() -> bool:
        gc.collect()
        return gone() is None

    until(collected)
