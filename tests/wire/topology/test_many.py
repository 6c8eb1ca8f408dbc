"""The short way of an MGET over a cluster answers what the long one does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpony.commands import DEL, GET, MGET, SET, Command, Lane
from redpony.errors import (
    ClusterDown,
    DeadlineExceeded,
    RedponyError,
    Unavailable,
    from_reply,
)
from redpony.wire.topology import quick
from redpony.wire.topology.routing import Flight
from redpony.wire.topology.slots import slot_of
from tests.servers import Cluster
from tests.wire.topology.charts import Chart, Journey, cluster, port_of, replicated
from tests.wire.topology.conftest import MakeTopo
from tests.wire.topology.topologies import moved_slot, other_primary

WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"

any_key = st.one_of(
    st.sampled_from(["a", "b", "{t}a", "{t}b", "{}", "{}{t}", "a{t}", "", "\0", "ä"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.binary(max_size=8),
    st.integers(500, 530).map(lambda size: "k" * size),
    st.integers(500, 530).map(lambda size: b"{t}" + b"k" * size),
)
any_keys = st.one_of(
    st.lists(any_key, max_size=20), st.lists(st.text("ab{}\0", max_size=3), max_size=20)
)


class Shop:
    """What every key of a cluster holds, asked in either way."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.link: Any = SimpleNamespace(known=chart.shape)
        self.held: dict[bytes, Any] = {}
        self.asked: list[tuple[int, bytes]] = []

    def owner(self, key: bytes) -> int:
        assert self.chart.shape.table is not None
        shard = self.chart.shape.table[slot_of(key)]
        assert shard is not None
        return port_of(shard.primary)

    def get(self, port: int, key: bytes) -> Any:
        assert self.owner(key) == port
        self.asked.append((port, key))
        held = self.held.get(key)
        return from_reply(held) if isinstance(held, str) else held

    def quickly(self, command: Command) -> Any:
        many = quick.many(self.link, command, fresh=True)
        assert many is not None
        for part in many.parts:
            reader = hiredis.Reader()
            reader.feed(part.pack())
            items = []
            for _ in part.places:
                name, key = reader.gets()
                assert name == b"GET"
                items.append(self.get(port_of(part.node), key))
            assert reader.gets() is False
            many.put(part, items)
        if many.failed:
            many.mend(self._travel(many.again()))
        return many.result()

    def slowly(self, command: Command) -> Any:
        return self._travel([command])[0]

    def _travel(self, commands: list[Command]) -> list[Any]:
        return Journey(self.chart, commands, self._fly).items

    def _fly(self, flight: Flight) -> list[Any]:
        port = port_of(flight.node)
        replies: list[Any] = []
        for command in flight.commands:
            found = [self.get(port, encoded(key)) for key in command.args]
            if command.kind is MGET:
                replies.append([None if _is_error(each) else each for each in found])
            else:
                replies += found
        return replies


def encoded(key: Any) -> bytes:
    return key.encode() if isinstance(key, str) else key


def _is_error(item: Any) -> bool:
    return isinstance(item, RedponyError)


@given(keys=any_keys, held=st.randoms(use_true_random=False))
def test_any_keys_have_the_same_answers_in_both_ways(
    keys: list[Any], held: Any
) -> None:
    if len(keys) < quick.FEW:
        return
    shop = Shop(cluster())
    for key in keys:
        shop.held[encoded(key)] = held.choice(
            [None, b"v" + encoded(key), b"", WRONGTYPE]
        )
    command = MGET(*keys)
    answer = shop.quickly(command)
    assert sorted(key for _, key in shop.asked) == sorted(map(encoded, keys))
    assert answer == shop.slowly(command)
    assert answer == [
        None if isinstance(found, str) else found
        for found in (shop.held[encoded(key)] for key in keys)
    ]


@pytest.mark.parametrize("kind", [str, str.encode])
def test_hash_tags_lead_where_they_should(kind: Any) -> None:
    keys = [f"{{tag:{number % 5}}}:{number}" for number in range(20)]
    shop = Shop(cluster())
    shop.held = {key.encode(): b"v" + key.encode() for key in keys}
    # Who is asked in the wrong place says so.
    assert shop.quickly(MGET(*map(kind, keys))) == [b"v" + key.encode() for key in keys]


def test_each_server_is_asked_once() -> None:
    shop = Shop(cluster())
    many = quick.many(shop.link, MGET(*(b"%d" % n for n in range(100))), fresh=True)
    assert many is not None
    assert sorted(port_of(part.node) for part in many.parts) == [1, 2, 3]
    assert sorted(place for part in many.parts for place in part.places) == [
        *range(100)
    ]


@pytest.mark.parametrize(
    "command",
    [GET(b"a"), DEL(*b"abcdef".split()), MGET(b"a", b"b", b"c"), SET(b"a", b"b")],
    ids=lambda command: command.name,
)
def test_everything_else_takes_the_long_way(command: Command) -> None:
    assert quick.many(Shop(cluster()).link, command, fresh=True) is None


def test_servers_that_are_one_take_an_mget_whole() -> None:
    link: Any = SimpleNamespace(known=replicated().shape)
    assert quick.many(link, MGET(*[b"a"] * 9), fresh=True) is None


def test_a_slot_of_nobody_takes_the_long_way() -> None:
    shop = Shop(cluster())
    assert shop.chart.shape.table is not None
    shop.chart.shape.table[slot_of(b"a")] = None
    assert quick.many(shop.link, MGET(*b"a b c d e".split()), fresh=True) is None


def test_the_lane_and_the_time_are_the_commands() -> None:
    shop = Shop(cluster())
    command = MGET.of(tuple("abcdef"), timeout=3.0, lane=Lane.BULK)
    many = quick.many(shop.link, command, fresh=True)
    assert many is not None
    first = many.parts[0].batch.commands[0]
    assert (first.lane, first.timeout) == (Lane.BULK, 3.0)


def test_replicas_are_asked_and_left_out_when_they_cannot_answer() -> None:
    shop = Shop(cluster(3, 1))
    command = MGET(*(b"%d" % n for n in range(20)))
    many = quick.many(shop.link, command, fresh=False)
    assert many is not None
    assert sorted(port_of(part.node) for part in many.parts) == [11, 21, 31]
    assert all(part.spare for part in many.parts)
    loading = from_reply("LOADING Redis is loading the dataset in memory")
    many.put(many.parts[0], [loading] * len(many.parts[0].places))
    assert not many.parts[0].node.is_fit
    again = quick.many(shop.link, command, fresh=False)
    assert again is not None
    assert sum(part.spare for part in again.parts) == 2


def test_one_that_has_no_answer_leaves_the_others_theirs() -> None:
    shop = Shop(cluster())
    keys = [b"%d" % n for n in range(20)]
    many = quick.many(shop.link, MGET(*keys), fresh=True)
    assert many is not None
    lost = Unavailable("lost", outcome="unknown")
    for part in many.parts:
        size = len(part.places)
        down = port_of(part.node) == 2
        many.put(part, [lost] * size if down else [b"v"] * size)
    assert [each.args[0] for each in many.again()] == [
        key for key in keys if shop.owner(key) == 2
    ]
    many.mend([lost] * len(many.failed))
    error = many.result()
    assert type(error) is Unavailable
    assert error.partial == [lost if shop.owner(key) == 2 else b"v" for key in keys]
    assert "parts of MGET" in str(error)


# -- on real servers --------------------------------------------------------------


def fill(cluster: Cluster, keys: list[bytes]) -> list[bytes | None]:
    """Store every other key; return what MGET should answer."""
    client = cluster.client()
    for key in keys[::2]:
        client.set(key, b"v" + key)
    return [b"v" + key if number % 2 == 0 else None for number, key in enumerate(keys)]


KEYS = [b"%d" % number for number in range(40)]
ODD = [b"{t}1", b"{t}2", b"a\0b", b"\0", b"", b"k" * 600, b"{}{x}", "\u00e4".encode()]


def test_many_keys_take_no_more_connections_than_there_were(
    cluster: Cluster, topo: MakeTopo
) -> None:
    expected = fill(cluster, [*KEYS, *ODD])
    link = topo(cluster)
    command = MGET(*KEYS, *ODD)
    assert link.ask(command) == expected
    with cluster.counting() as counted:
        assert link.ask(command) == expected
    assert counted.commands == {"get": len(KEYS) + len(ODD)}
    assert counted.connections == 0


def test_a_key_of_another_type_is_none_as_for_one_server(
    cluster: Cluster, topo: MakeTopo
) -> None:
    expected = fill(cluster, KEYS)
    cluster.ask("DEL", KEYS[0])
    cluster.ask("LPUSH", KEYS[0], "x")
    assert topo(cluster).ask(MGET(*KEYS)) == [None, *expected[1:]]


def test_keys_whose_slots_have_moved_are_found(
    cluster: Cluster, topo: MakeTopo
) -> None:
    expected = fill(cluster, KEYS)
    link = topo(cluster)
    assert link.ask(MGET(*KEYS)) == expected
    with moved_slot(cluster, KEYS[0]):
        assert link.ask(MGET(*KEYS)) == expected
        with cluster.counting() as counted:
            assert link.ask(MGET(*KEYS)) == expected
    assert counted.commands["get"] == len(KEYS)


def test_keys_whose_slot_is_on_the_move_are_found(
    cluster: Cluster, topo: MakeTopo
) -> None:
    expected = fill(cluster, KEYS)
    link = topo(cluster)
    assert link.ask(MGET(*KEYS)) == expected
    target = other_primary(cluster, KEYS[0])
    with cluster.migrating(cluster.slot_of(KEYS[0]), target) as migration:
        migration.move(KEYS[0])
        assert link.ask(MGET(*KEYS)) == expected
        assert link.ask(GET(KEYS[0])) == expected[0]


@pytest.mark.flavour("valkey")
def test_keys_of_a_server_that_hangs_are_told_from_the_others(
    cluster: Cluster, topo: MakeTopo
) -> None:
    expected = fill(cluster, KEYS)
    link = topo(cluster, deadline=0.5)
    assert link.ask(MGET(*KEYS)) == expected
    down = cluster.node_for(KEYS[0])
    down.pause()
    try:
        error = link.meet(MGET(*KEYS))
    finally:
        down.resume()
    assert isinstance(error, (DeadlineExceeded, ClusterDown))
    assert error.partial is not None
    for key, item, value in zip(KEYS, error.partial, expected, strict=True):
        if cluster.node_for(key) is not down:
            assert item == value
        else:
            assert isinstance(item, Unavailable)
