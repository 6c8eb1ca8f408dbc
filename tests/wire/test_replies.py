"""Every type of reply, wherever the network cuts it."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from typing import Any

import pytest

from redpony.errors import RedponyError, ServerError, WrongType
from tests.hostile import HELLO, OK, FakeServer, Peer
from tests.wire.conftest import MakeWire
from tests.wire.links import READ, Wire, unread, until

REPLIES: dict[str, tuple[bytes, Any]] = {
    "simple string": (b"+PONG\r\n", b"PONG"),
    "empty simple string": (b"+\r\n", b""),
    "error": (b"-ERR something is wrong\r\n", ServerError("ERR something is wrong")),
    "known error": (b"-WRONGTYPE no\r\n", WrongType("WRONGTYPE no")),
    "integer": (b":-12345\r\n", -12345),
    "largest integer": (b":9223372036854775807\r\n", 2**63 - 1),
    "bulk string": (b"$7\r\nab\r\ncd\n\r\n", b"ab\r\ncd\n"),
    "empty bulk string": (b"$0\r\n\r\n", b""),
    "null of RESP2": (b"$-1\r\n", None),
    "null array of RESP2": (b"*-1\r\n", None),
    "null": (b"_\r\n", None),
    "array": (b"*3\r\n$1\r\na\r\n:2\r\n_\r\n", [b"a", 2, None]),
    "empty array": (b"*0\r\n", []),
    "nested array": (b"*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n$1\r\nx\r\n", [[1, []], [b"x"]]),
    "double": (b",-3.25e2\r\n", -325.0),
    "infinite double": (b",inf\r\n", math.inf),
    "true": (b"#t\r\n", True),
    "false": (b"#f\r\n", False),
    "big number": (b"(" + b"9" * 40 + b"\r\n", b"9" * 40),
    "map": (b"%2\r\n+a\r\n:1\r\n$1\r\nb\r\n*1\r\n:2\r\n", {b"a": 1, b"b": [2]}),
    "empty map": (b"%0\r\n", {}),
    "set": (b"~2\r\n:1\r\n$1\r\nb\r\n", [1, b"b"]),
    "verbatim string": (b"=8\r\ntxt:a\r\nb\r\n", b"a\r\nb"),
    "push before a reply": (b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n:7\r\n", 7),
    "two pushes before a reply": (b">1\r\n+a\r\n>1\r\n+b\r\n$1\r\nx\r\n", b"x"),
}


class Cutter:
    """A server that sends one reply again and again, cut where the test says."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.sizes: list[int] = []
        self.is_read: Callable[[], bool] = lambda: True

    def __call__(self, peer: Peer) -> None:
        at_once(peer)
        while True:
            peer.greet()
            start = 0
            for size in self.sizes:
                peer.send(self.reply[start : start + size])
                start += size
                # Each piece is read before the next one leaves.
                until(self.is_read)
            peer.send(self.reply[start:])


def at_once(peer: Peer) -> None:
    """Send each piece when it is written."""
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _watch(cutter: Cutter, wire: Wire) -> None:
    """Make the cutter wait for the client, now that it is connected."""
    wire.ask_all(READ(b"connect"))
    sock = wire.socket
    cutter.is_read = lambda: unread(sock) == 0


def _same(met: Any, expected: Any) -> None:
    if isinstance(expected, RedponyError):
        assert type(met) is type(expected)
        assert str(met) == str(expected)
    else:
        assert met == expected
        assert type(met) is type(expected)


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_whole_wherever_it_is_cut(name: str, wire: MakeWire) -> None:
    reply, expected = REPLIES[name]
    cutter = Cutter(reply)
    with FakeServer(cutter) as server:
        link = wire(server)
        _watch(cutter, link)
        for cut in range(1, len(reply)):
            cutter.sizes = [cut]
            _same(link.meet(READ(b"x")), expected)
        cutter.sizes = [1] * (len(reply) - 1)
        _same(link.meet(READ(b"x")), expected)
        assert server.accepted == 1


@pytest.mark.parametrize("name", REPLIES)
def test_a_batch_is_whole_wherever_its_replies_are_cut(
    name: str, wire: MakeWire
) -> None:
    reply, expected = REPLIES[name]
    whole = reply + b":1\r\n" + reply

    def three(peer: Peer) -> None:
        at_once(peer)
        peer.greet()
        peer.send(OK)
        for cut in cuts:
            for _ in range(3):
                peer.read()
            peer.send(whole[:cut])
            until(lambda: unread(link.socket) == 0)
            peer.send(whole[cut:])

    cuts = range(1, len(whole))
    with FakeServer(three) as server:
        link = wire(server)
        link.ask(READ(b"connect"))
        for _ in cuts:
            first, second, third = link.ask_all(READ(), READ(), READ())
            _same(first, expected)
            assert second == 1
            _same(third, expected)
        assert server.accepted == 1


def test_a_greeting_is_whole_wherever_it_is_cut(wire: MakeWire) -> None:
    whole = HELLO + OK + OK
    cuts = range(1, len(whole))

    def greet(peer: Peer) -> None:
        cut = cuts[peer.number]
        for _ in range(3):
            peer.read()
        peer.send_split(whole, [cut])
        peer.read()
        peer.send(b":%d\r\n" % cut)

    with FakeServer(greet) as server:
        for cut in cuts:
            link = wire(server)
            assert link.ask(READ()) == cut


def test_a_reply_larger_than_any_buffer_is_whole(wire: MakeWire, server: Any) -> None:
    from redpony.commands import GET, SET

    value = bytes(range(256)) * 20_000
    link = wire(server)
    link.ask(SET(b"large", value))
    assert link.ask(GET(b"large")) == value
    assert link.ask_all(GET(b"large"), GET(b"none"), GET(b"large")).check() == [
        value,
        None,
        value,
    ]
