"""A scan of all shards: what is there all the time is found, whatever else happens."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from redpony.commands import SCAN, Command
from redpony.errors import RedponyError, Unavailable
from redpony.wire.config import Tcp
from redpony.wire.topology.routing import Flight
from redpony.wire.topology.scanning import AGAIN
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.slots import SLOTS
from tests.wire.topology.charts import Journey, cluster, node, port_of

PAGE = 2


class Keeper:
    """Primaries with numbers as keys, in slots of that number; pages of two.

    A server's cursor is the first key that it has not given out, so a key that comes
    before the cursor after it has passed is not seen: as in a server's hash table.
    """

    def __init__(self, primaries: int, keys: set[int]) -> None:
        self.pending: dict[int, int] = {}
        self.chart = cluster(primaries)
        self.at: dict[int, int] = {key: self._port(key) for key in keys}

    def _port(self, slot: int) -> int:
        table = self.chart.shape.table
        assert table is not None
        shard = table[slot]
        assert shard is not None
        return port_of(shard.primary)

    def __call__(self, flight: Flight) -> list[Any]:
        return [self._page(port_of(flight.node), each) for each in flight.commands]

    def _page(self, port: int, command: Command) -> Any:
        cursor = int(command.args[0])
        ahead = sorted(k for k, at in self.at.items() if at == port and k >= cursor)
        found, rest = ahead[:PAGE], ahead[PAGE:]
        # 0 begins and ends a scan.
        following = b"%d" % rest[0] if rest else b"0"
        return [following, [b"%d" % key for key in found]]

    def move(self, slot: int, port: int) -> None:
        """Move a slot with its key; the client learns of it by its next look."""
        if slot in self.at:
            self.at[slot] = port
        self.pending[slot] = port

    def look(self) -> None:
        table = self.chart.shape.table
        assert table is not None
        table = list(table)
        by_port = {port_of(each.primary): each for each in self.chart.shape.shards}
        changed = False
        for slot, port in self.pending.items():
            if table[slot] is not by_port[port]:
                table[slot] = by_port[port]
                changed = True
        self.pending.clear()
        if changed:
            self.chart.shape = Shape(self.chart.shape.shards, table)
            self.chart.moves += 1

    def fail_over(self, old: int, new: int) -> None:
        """Let another server lead a shard, with its keys, and the client know."""
        shards = [
            Shard(node(new)) if port_of(each.primary) == old else each
            for each in self.chart.shape.shards
        ]
        by_port = dict(zip(self.chart.shape.shards, shards, strict=True))
        table = self.chart.shape.table
        assert table is not None
        self.chart.shape = Shape(shards, [each and by_port[each] for each in table])
        self.chart.moves += 1
        for key, at in self.at.items():
            if at == old:
                self.at[key] = new


def scan(
    servers: Keeper, between: Any = lambda page: None
) -> tuple[set[int], list[Any]]:
    """Return the keys that a whole scan finds, and the cursors that it had."""
    found: set[int] = set()
    cursor: Any = b"0"
    cursors = []
    while True:
        command = SCAN(cursor, b"COUNT", b"%d" % PAGE)
        (reply,) = Journey(servers.chart, [command], servers, servers.look).items
        assert not isinstance(reply, RedponyError), reply
        cursor, names = reply
        found |= set(map(int, names))
        cursors.append(cursor)
        if cursor == b"0":
            return found, cursors
        assert len(cursors) < 500
        between(len(cursors))


SPREAD = set(range(0, SLOTS, 701))


def test_one_page_goes_to_all_primaries_at_once() -> None:
    servers = Keeper(3, set())
    journey = Journey(servers.chart, [SCAN(b"0")], servers)
    assert journey.items == [[b"0", []]]
    assert journey.trace == [[(1, ["SCAN"]), (2, ["SCAN"]), (3, ["SCAN"])]]


def test_a_scan_of_one_page_takes_no_look() -> None:
    servers = Keeper(3, {1, 6000, 12000})
    journey = Journey(servers.chart, [SCAN(b"0")], servers)
    assert journey.looks == 0


def test_a_scan_goes_on_where_it_stood_on_each_shard() -> None:
    found, cursors = scan(Keeper(3, SPREAD))
    assert found == SPREAD
    # Eight keys a shard, two a page.
    assert len(cursors) == 4


def test_the_arguments_go_with_each_page_and_the_count_is_shared_out() -> None:
    servers = Keeper(2, set(range(20)))
    seen: list[Any] = []

    def answer(flight: Flight) -> list[Any]:
        seen.extend(each.args[1:] for each in flight.commands)
        return servers(flight)

    command = SCAN(b"0", b"MATCH", b"*", b"COUNT", b"5", timeout=7.0)
    (reply,) = Journey(servers.chart, [command], answer).items
    again = SCAN(reply[0], *command.args[1:], timeout=7.0)
    Journey(servers.chart, [again], answer)
    assert set(seen) == {(b"MATCH", b"*", b"COUNT", b"2")}


def test_a_pattern_may_be_the_word_count() -> None:
    servers = Keeper(2, {1})
    command = SCAN(b"0", b"MATCH", b"COUNT", b"COUNT", b"4")
    journey = Journey(servers.chart, [command], servers)
    sent = {command.args for command, _, _ in journey.sendings}
    assert sent == {(b"0", b"MATCH", b"COUNT", b"COUNT", b"2")}


def test_a_cursor_names_who_gave_it_and_where_it_stands() -> None:
    servers = Keeper(2, {1, 2, 3, 9000})
    (reply,) = Journey(servers.chart, [SCAN(b"0")], servers).items
    assert reply == [b"1/0@0:3@node:1", [b"1", b"2", b"9000"]]
    # As text it means the same.
    (reply,) = Journey(servers.chart, [SCAN("1/0@0:3@node:1")], servers).items
    assert reply == [b"0", [b"3"]]


def test_addresses_of_any_form_come_back_from_a_cursor() -> None:
    servers = Keeper(2, set(range(6)) | set(range(9000, 9006)))
    for shard, host in zip(
        servers.chart.shape.shards, ("::1", "redis-0.redis.svc"), strict=True
    ):
        port = port_of(shard.primary)
        shard.primary.address = Tcp(host, port)
    found, cursors = scan(servers)
    assert found == set(range(6)) | set(range(9000, 9006))
    assert b"@[::1]:1," in cursors[0]


def test_a_primary_that_was_replaced_is_scanned_from_its_start() -> None:
    servers = Keeper(3, SPREAD)

    def replace(page: int) -> None:
        if page == 2:
            servers.fail_over(2, 22)

    found, _ = scan(servers, replace)
    assert found == SPREAD


def test_a_shard_whose_first_slot_went_to_another_is_scanned_to_its_end() -> None:
    servers = Keeper(3, SPREAD)

    def move(page: int) -> None:
        # Before each page, what stands for the second shard moves away.
        servers.move(5462, 3 if page % 2 else 2)
        servers.look()

    found, _ = scan(servers, move)
    assert found == SPREAD


def test_slots_that_moved_unseen_are_noticed_at_the_end() -> None:
    servers = Keeper(2, {10, 20, 30, 9000, 9010, 9020})

    def move(page: int) -> None:
        # From a shard not scanned yet to one that is past it; no MOVED tells of it.
        if page == 1:
            servers.move(30, 2)

    found, cursors = scan(servers, move)
    assert found == {10, 20, 30, 9000, 9010, 9020}
    assert cursors[-2].startswith(b"2/")


def test_a_scan_of_slots_that_never_rest_comes_to_an_end() -> None:
    servers = Keeper(3, SPREAD)

    def move(page: int) -> None:
        servers.move(0, page % 3 + 1)
        servers.look()

    found, cursors = scan(servers, move)
    assert found >= SPREAD - {0}
    assert cursors[-2].startswith(b"%d/" % (AGAIN + 1))


def test_a_page_that_a_shard_does_not_answer_is_an_error() -> None:
    servers = Keeper(3, SPREAD)

    def answer(flight: Flight) -> list[Any]:
        if port_of(flight.node) == 2:
            return [Unavailable("gone")]
        return servers(flight)

    journey = Journey(servers.chart, [SCAN(b"0")], answer)
    assert isinstance(journey.items[0], Unavailable)
    assert servers.chart.nudges == 1


@settings(max_examples=50)
@given(
    keys=st.sets(st.integers(0, SLOTS - 1), min_size=1, max_size=40),
    steps=st.dictionaries(
        st.integers(1, 8),
        st.tuples(
            st.sampled_from(["move", "fail over"]),
            st.integers(0, SLOTS - 1),
            st.integers(1, 3),
        ),
        max_size=3,
    ),
    primaries=st.just(3),
)
def test_whatever_moves_what_was_there_is_found(
    keys: set[int], steps: dict[int, Any], primaries: int
) -> None:
    servers = Keeper(primaries, keys)

    def step(page: int) -> None:
        act, slot, port = steps.get(page, ("", 0, 0))
        if act == "move":
            owners = [port_of(each.primary) for each in servers.chart.shape.shards]
            servers.move(slot, owners[port - 1])
        elif act:
            servers.look()
            old = port_of(servers.chart.shape.shards[port - 1].primary)
            servers.fail_over(old, old + 10)

    found, _ = scan(servers, step)
    assert found == keys
