"""Many replies read as one list: whatever pieces they come in, none is out of place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpony.commands import GET
from redpony.errors import ProtocolError, WrongType
from redpony.plan import Batch
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from redpony.wire.parallel import Sent
from redpony.wire.pool import Connection
from redpony.wire.replies import PushNotification, pack

REPLIES = b"$1\r\na\r\n_\r\n$-1\r\n$5\r\nb\r\nc\0\r\n-WRONGTYPE no\r\n$0\r\n\r\n"
ITEMS = [b"a", None, None, b"b\r\nc\0", WrongType, b""]
PUSH = b">3\r\n+message\r\n+news\r\n$2\r\nhi\r\n"


class Pieces:
    """A stream that hands out what it was given, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes, expires: float) -> None:
        self.sent.append(data)

    def receive(self, expires: float) -> bytes:
        if not self.pieces:
            raise EOFError
        return self.pieces.pop(0)

    def receive_within(self, seconds: float) -> bytes:
        return self.receive(seconds)

    def is_stale(self) -> bool:
        return False

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.closed = True

    def abandon(self) -> None:
        self.close()


def connection(*pieces: bytes) -> Connection:
    made = Connection()
    made.stream = Pieces(*pieces)
    return made


def plain(items: list[Any]) -> list[Any]:
    return [type(each) if isinstance(each, Exception) else each for each in items]


@pytest.mark.parametrize("cut", range(len(REPLIES) + 1))
def test_replies_may_be_cut_anywhere(cut: int) -> None:
    made = connection(REPLIES[:cut], REPLIES[cut:])
    assert plain(made.read_at_once(6, 0)) == ITEMS
    assert not made.has_more()


def test_replies_may_come_byte_by_byte() -> None:
    made = connection(*(bytes([each]) for each in REPLIES))
    assert plain(made.read_at_once(6, 0)) == ITEMS
    assert not made.has_more()


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=40)), min_size=1, max_size=50),
    st.data(),
)
def test_any_replies_in_any_pieces(items: list[bytes | None], draw: Any) -> None:
    data = b"".join(
        b"$-1\r\n" if each is None else b"$%d\r\n%b\r\n" % (len(each), each)
        for each in items
    )
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=5)))
    bounds = [0, *cuts, len(data)]
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    made = connection(*pieces)
    assert made.read_at_once(len(items), 0) == items
    assert not made.has_more()


def test_a_flight_can_follow_another_one_on_the_same_connection() -> None:
    made = connection(REPLIES, b"$1\r\nz\r\n", b"$1\r\ny\r\n")
    assert plain(made.read_at_once(6, 0)) == ITEMS
    assert made.read_at_once(1, 0) == [b"z"]
    assert made.read(0) == b"y"


def test_replies_that_end_too_soon_are_an_end_of_file() -> None:
    made = connection(REPLIES[:-1])
    with pytest.raises(EOFError):
        made.read_at_once(6, 0)


def test_what_is_no_reply_is_an_error() -> None:
    made = connection(b"$1\r\na\r\nHTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(ProtocolError):
        made.read_at_once(2, 0)


# -- as a flight ------------------------------------------------------------------


class Idle:
    """A link whose pool holds one connection: over pieces, to nowhere."""

    def __init__(self, *pieces: bytes) -> None:
        # Port 1 of this machine refuses: what would be sent again is not answered.
        self.link = Link(LinkConfig(address=Tcp("127.0.0.1", 1), deadline=5))
        self.driver = self.link.blocking
        self.connection = connection(*pieces)
        self.driver.pool.idle.append(self.connection)
        self.stream: Any = self.connection.stream

    def get(self, *keys: bytes) -> list[Any]:
        payload = b"".join(pack((b"GET", key)) for key in keys)
        batch = Batch([GET(b"")] * len(keys))
        sent = Sent(self.driver, batch, time.monotonic() + 5, payload)
        assert self.stream.sent == [payload]
        return list(sent.land().items)


@pytest.fixture
def idle() -> Iterator[Any]:
    made: list[Idle] = []

    def make(*pieces: bytes) -> Idle:
        made.append(Idle(*pieces))
        return made[-1]

    yield make
    for each in made:
        each.link.close()


def test_a_flight_gives_its_connection_back(idle: Any) -> None:
    there = idle(REPLIES)
    assert plain(there.get(*[b"k"] * 6)) == ITEMS
    assert list(there.driver.pool.idle) == [there.connection]


@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("whole", [True, False])
def test_a_push_between_replies_shifts_none(at: int, whole: bool, idle: Any) -> None:
    replies = [b"$1\r\n%d\r\n" % number for number in range(6)]
    replies.insert(at, PUSH)
    data = b"".join(replies)
    there = idle(data) if whole else idle(*(bytes([each]) for each in data))
    items = there.get(*[b"k"] * 6)
    if at == 6 and not whole:
        # It comes with whatever is read next.
        assert items == [b"%d" % number for number in range(6)]
        return
    # The array's header counts it as a reply: so nobody gets any of them.
    assert {type(each) for each in items} == {ProtocolError}
    assert there.stream.closed
    assert not there.driver.pool.idle


@pytest.mark.parametrize(
    "wrong", [b":1\r\n", b"*0\r\n", b"%0\r\n", b"~0\r\n", b"#t\r\n", b",1\r\n"]
)
@pytest.mark.parametrize("at", range(3))
def test_a_reply_that_get_never_has_closes_the_connection(
    at: int, wrong: bytes, idle: Any
) -> None:
    replies = [b"$1\r\na\r\n", b"$1\r\nb\r\n", b"$1\r\nc\r\n"]
    replies[at] = wrong
    there = idle(b"".join(replies))
    assert {type(each) for each in there.get(b"a", b"b", b"c")} == {ProtocolError}
    assert there.stream.closed


def test_an_attribute_shifts_no_reply(idle: Any) -> None:
    there = idle(b"|1\r\n+ttl\r\n:3600\r\n$1\r\na\r\n$1\r\nb\r\n")
    assert {type(each) for each in there.get(b"a", b"b")} == {ProtocolError}
    assert there.stream.closed


def test_a_reply_too_many_closes_the_connection(idle: Any) -> None:
    there = idle(b"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n")
    assert {type(each) for each in there.get(b"a", b"b")} == {ProtocolError}
    assert there.stream.closed


def test_a_push_is_told_from_a_reply_by_its_type() -> None:
    made = connection(PUSH)
    (push,) = made.read_at_once(1, 0)
    assert type(push) is PushNotification
