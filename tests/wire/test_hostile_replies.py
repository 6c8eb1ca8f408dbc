"""What a peer may send that is no answer: an error in time, and nothing shifted."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from redpony.commands import GET, HGETALL, MGET, Command
from redpony.errors import DeadlineExceeded, ProtocolError, Unavailable
from tests.hostile import OK, FakeServer, Peer
from tests.wire.conftest import MakeWire
from tests.wire.links import INCR, READ, WRITE, unread, until

GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "binary": bytes(range(256)),
    "tls alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "blob error": b"!21\r\nSYNTAX invalid syntax\r\n",
    "map with list keys": b"%1\r\n*1\r\n:1\r\n:2\r\n",
    "bad integer": b":12a\r\n",
    "huge integer": b":99999999999999999999999\r\n",
    "negative length": b"$-7\r\n",
    "streamed string": b"$?\r\n;4\r\nword\r\n;0\r\n",
    "deep nesting": b"*1\r\n" * 100_000,
}
SHAPES: dict[str, tuple[bytes, Command]] = {
    "integer for a value": (b":1\r\n", GET(b"k")),
    "list for a value": (b"*1\r\n:1\r\n", GET(b"k")),
    "value for a count": (b"$1\r\n1\r\n", INCR(b"k")),
    "boolean for a count": (b"#t\r\n", INCR(b"k")),
    "null for a list": (b"_\r\n", MGET(b"k")),
    "value for a map": (b"+OK\r\n", HGETALL(b"k")),
}
ATTRIBUTE = b"|1\r\n+ttl\r\n:3600\r\n"


def sends(reply: bytes) -> Any:
    """Return a script: the first connection gets the reply, later ones `:7`."""

    def script(peer: Peer) -> None:
        peer.greet()
        peer.send(reply if peer.number == 0 else b":7\r\n")
        peer.silence()

    return script


@pytest.mark.parametrize("kind", [READ, WRITE])
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_an_error_and_ends_the_connection(
    name: str, kind: Any, wire: MakeWire
) -> None:
    with FakeServer(sends(GARBAGE[name])) as server:
        link = wire(server)
        with pytest.raises(ProtocolError) as caught:
            link.ask(kind(b"x"))
        assert caught.value.outcome == "unknown"
        assert link.ask(kind(b"x")) == 7
        assert server.accepted == 2
        assert link.opened == 1


@pytest.mark.parametrize("name", SHAPES)
def test_a_reply_that_a_command_never_has_ends_the_connection(
    name: str, wire: MakeWire
) -> None:
    reply, command = SHAPES[name]
    with FakeServer(sends(reply)) as server:
        link = wire(server)
        with pytest.raises(ProtocolError, match="out of step") as caught:
            link.ask(command)
        assert caught.value.outcome == "unknown"
        assert link.ask(READ()) == 7
        assert server.accepted == 2


def test_a_batch_with_one_misfit_is_wholly_in_doubt(wire: MakeWire) -> None:
    with FakeServer(sends(b"$1\r\na\r\n:5\r\n$1\r\nc\r\n")) as server:
        link = wire(server)
        for reply in link.ask_all(GET(b"a"), GET(b"b"), GET(b"c")):
            assert isinstance(reply, ProtocolError)
            assert reply.outcome == "unknown"
        assert link.ask(READ()) == 7


@pytest.mark.parametrize("kind", [READ, WRITE])
def test_a_bulk_string_without_end_costs_the_deadline(
    kind: Any, wire: MakeWire
) -> None:
    def endless(peer: Peer) -> None:
        peer.greet()
        if peer.number:
            peer.send(b":7\r\n")
            peer.silence()
        peer.send(b"$999999999999\r\n")
        while True:
            peer.send(b"x" * 100_000)

    with FakeServer(endless) as server:
        link = wire(server, deadline=0.2, connect_timeout=0.2, breaker_failures=100)
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught:
            link.ask(kind())
        assert time.monotonic() - started < 10
        assert caught.value.outcome == "unknown"
        assert until(lambda: link.meet(READ()) == 7)


@pytest.mark.parametrize("reply", [b"$5\r\nhel", b"*2\r\n:1\r\n", b"+PO", b""])
def test_a_reply_that_breaks_off_is_never_a_value(reply: bytes, wire: MakeWire) -> None:
    def break_off(peer: Peer) -> None:
        peer.greet()
        if peer.number % 2 == 0:
            peer.send(reply)
        else:
            peer.send(b":7\r\n")
            peer.silence()

    with FakeServer(break_off) as server:
        # A read is asked again, on another connection; a mutation is not.
        assert wire(server).ask(READ()) == 7
        assert server.accepted == 2
        link = wire(server)
        with pytest.raises(Unavailable) as caught:
            link.ask(WRITE())
        assert caught.value.outcome == "unknown"
        assert server.accepted == 3


@pytest.mark.parametrize("cut", range(len(ATTRIBUTE) + 4))
def test_an_attribute_never_shifts_the_answers(cut: int, wire: MakeWire) -> None:
    reply = ATTRIBUTE + b"*1\r\n$1\r\na\r\n"
    client: list[socket.socket] = []

    def script(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        peer.greet()
        if peer.number == 0:
            peer.send(reply[:cut])
            until(lambda: unread(client[0]) == 0)
            peer.send(reply[cut:])
        else:
            peer.send(b":7\r\n")
        peer.silence()

    with FakeServer(script) as server:
        link = wire(server)
        link.ask(READ())
        client.append(link.socket.dup())
        with pytest.raises(ProtocolError):
            link.ask(MGET(b"k"))
        link.ask(READ())
        assert link.ask(READ()) == 7
    client[0].close()


def test_an_extra_reply_ends_the_connection(wire: MakeWire) -> None:
    with FakeServer(sends(b":1\r\n:2\r\n")) as server:
        link = wire(server)
        met = link.meet(READ())
        assert met == 1 or isinstance(met, ProtocolError)
        assert link.ask(READ()) == 7
        assert server.accepted == 2


def test_a_late_extra_reply_is_nobodys_answer(wire: MakeWire) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.send(b":1\r\n")
        if peer.number == 0:
            until(lambda: unread(link.socket) == 0)
            peer.send(b":2\r\n")
        peer.greet()
        peer.send(b":7\r\n")
        peer.silence()

    with FakeServer(script) as server:
        link = wire(server)
        assert link.ask(WRITE()) == 1
        until(lambda: unread(link.socket) == 4)
        if link.colour.is_async:
            link.colour.run(asyncio.sleep(0))
        # What is not yet sent goes on another connection.
        assert link.ask(WRITE()) == 1
        assert link.ask(WRITE()) == 7
        assert server.accepted == 2
