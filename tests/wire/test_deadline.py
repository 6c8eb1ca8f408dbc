"""No peer, no resolver and no signal can hold a caller much past the deadline.

The bounds are many times the deadline: they tell an end from no end, and do not
measure. Without its guard each of these would last for minutes, or for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from redpony.commands import PING
from redpony.errors import DeadlineExceeded, Unavailable, Unreachable
from redpony.wire import naming
from redpony.wire.config import Tcp
from tests.hostile import HELLO, OK, FakeServer, FullBacklog, Peer, silent
from tests.servers import Server
from tests.wire.conftest import MakeWire
from tests.wire.links import READ, WRITE, until

DEADLINE = 0.2
TIMES = {"deadline": DEADLINE, "connect_timeout": DEADLINE}


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 10 * DEADLINE


def greets_and_is_silent(peer: Peer) -> None:
    peer.greet()
    peer.send(OK)
    peer.silence()


@pytest.mark.parametrize("kind", [READ, WRITE])
def test_a_server_that_says_nothing_at_all(kind: Any, wire: MakeWire) -> None:
    with FakeServer(silent) as server:
        link = wire(server, **TIMES)
        with in_time():
            met = link.meet(kind())
        # Nothing but the handshake was sent.
        assert isinstance(met, DeadlineExceeded)
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"
        assert "CONNECT_TIMEOUT" in str(met)
        assert link.opened == 0


@pytest.mark.parametrize("kind", [READ, WRITE])
def test_a_server_that_falls_silent(kind: Any, wire: MakeWire) -> None:
    with FakeServer(greets_and_is_silent) as server:
        link = wire(server, **TIMES)
        link.ask(READ())
        with in_time():
            met = link.meet(kind())
        assert isinstance(met, DeadlineExceeded)
        assert met.outcome == "unknown"
        assert server.accepted == 1
        # What was silent is not used again, or only for as long as it may answer.
        until(lambda: link.meet(READ()) == b"OK" or link.opened == 0)


def test_a_batch_that_is_half_answered(wire: MakeWire) -> None:
    def answers_one(peer: Peer) -> None:
        peer.greet()
        peer.send(b":1\r\n")
        peer.silence()

    with FakeServer(answers_one) as server:
        link = wire(server, **TIMES)
        with in_time():
            replies = link.ask_all(WRITE(), WRITE())
        assert replies.outcome(1) == "unknown"


def test_a_port_that_accepts_nobody(wire: MakeWire) -> None:
    with FullBacklog() as hole:
        link = wire(hole, **TIMES)
        with in_time():
            met = link.meet(WRITE())
        assert isinstance(met, Unreachable)
        assert isinstance(met, DeadlineExceeded)
        assert met.outcome == "not_sent"


@pytest.mark.parametrize("where", ["greeting", "reply"])
def test_bytes_that_trickle_do_not_buy_time(where: str, wire: MakeWire) -> None:
    sent = []

    def trickles(peer: Peer) -> None:
        reply = b"$1000\r\n" + b"x" * 1000 + b"\r\n"
        if where == "reply":
            peer.greet()
        else:
            peer.read()
            reply = HELLO.replace(b"+mode", b"+" + b"x" * 1000)
        for byte in reply:
            peer.send(bytes([byte]))
            sent.append(byte)
            time.sleep(0.05)

    with FakeServer(trickles) as server:
        link = wire(server, **TIMES)
        with in_time():
            met = link.meet(WRITE())
        assert isinstance(met, DeadlineExceeded)
        assert 0 < len(sent) < 100


@pytest.mark.parametrize("kind", [READ, WRITE])
def test_a_server_that_does_not_read(kind: Any, wire: MakeWire) -> None:
    done = threading.Event()

    def stops_reading(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        done.wait(30)

    with FakeServer(stops_reading) as server:
        link = wire(server, **TIMES)
        link.ask(READ())
        with in_time():
            met = link.meet(kind(b"x" * 50_000_000))
        assert isinstance(met, DeadlineExceeded)
        assert server.accepted == 1
        done.set()


def test_a_batch_to_a_server_that_does_not_read_is_in_doubt(wire: MakeWire) -> None:
    done = threading.Event()

    def stops_reading(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        done.wait(30)

    with FakeServer(stops_reading) as server:
        link = wire(server, **TIMES)
        link.ask(READ())
        with in_time():
            replies = link.ask_all(*[WRITE(b"x" * 5_000_000)] * 10)
        assert {replies.outcome(index) for index in range(10)} == {"unknown"}
        done.set()


def test_signals_do_not_buy_time(wire: MakeWire) -> None:
    caught = []
    before = signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        with FakeServer(greets_and_is_silent) as server:
            for kind in (READ, WRITE):
                link = wire(server, **TIMES)
                link.ask(READ())
                with in_time():
                    assert isinstance(link.meet(kind()), DeadlineExceeded)
        with FakeServer(silent) as server, in_time():
            assert isinstance(wire(server, **TIMES).meet(READ()), DeadlineExceeded)
        with FullBacklog() as hole, in_time():
            assert isinstance(wire(hole, **TIMES).meet(READ()), DeadlineExceeded)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(caught) > 10


def test_a_command_may_have_a_time_of_its_own(wire: MakeWire) -> None:
    with FakeServer(greets_and_is_silent) as server:
        link = wire(server, deadline=60.0)
        link.ask(READ())
        with in_time():
            met = link.meet(WRITE().within(DEADLINE))
        assert isinstance(met, DeadlineExceeded)
        assert f"{DEADLINE:g} s" in str(met)


# -- names ------------------------------------------------------------------


class Resolver:
    """`getaddrinfo`, as long as the test lets it answer."""

    def __init__(self) -> None:
        self.real = socket.getaddrinfo
        self.hangs = False
        self.fails = False
        self.asked = 0
        self.release = threading.Event()

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("redis.test", b"redis.test"):
            return self.real(host, port, *args, **kwargs)
        self.asked += 1
        if self.hangs:
            self.release.wait(30)
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
        return self.real("127.0.0.1", port, *args, **kwargs)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(naming, "_last_good", {})
    yield resolver
    resolver.release.set()


def test_a_resolver_that_hangs_is_left_alone(
    resolver: Resolver, wire: MakeWire
) -> None:
    resolver.hangs = True
    link = wire(address=Tcp("redis.test", 20_000), **TIMES)
    with in_time():
        met = link.meet(WRITE())
    assert isinstance(met, Unreachable)
    assert met.outcome == "not_sent"
    assert "redis.test" in str(met)
    assert link.opened == 0


def test_a_loop_ends_though_a_resolver_hangs(resolver: Resolver) -> None:
    from redpony.wire.config import LinkConfig
    from redpony.wire.link import Link
    from tests.wire.links import one

    resolver.hangs = True
    link = Link(LinkConfig(Tcp("redis.test", 20_000), **TIMES))
    with in_time(), pytest.raises(Unreachable):
        asyncio.run(link.arun(one(PING())))


@pytest.mark.parametrize("fault", ["hangs", "fails"])
def test_the_last_good_address_outlives_its_resolver(
    fault: str, resolver: Resolver, wire: MakeWire, server: Server
) -> None:
    link = wire(address=Tcp("redis.test", server.port), connect_timeout=1.0)
    assert link.ask(PING()) == b"PONG"
    setattr(resolver, fault, True)
    server.ask("CLIENT", "KILL", "USER", "default")
    until(lambda: not server.users())
    assert link.ask(PING()) == b"PONG"
    assert resolver.asked == 2


def test_a_name_that_does_not_exist_is_an_error_that_names_it(
    resolver: Resolver, wire: MakeWire
) -> None:
    resolver.fails = True
    met = wire(address=Tcp("redis.test", 20_000)).meet(READ())
    assert isinstance(met, Unreachable)
    assert "redis.test" in str(met)
    assert "Temporary failure" in str(met)


def test_a_name_is_tried_at_each_of_its_addresses(
    resolver: Resolver, wire: MakeWire, server: Server, monkeypatch: Any
) -> None:
    def two(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        entry = resolver.real("127.0.0.1", port, type=socket.SOCK_STREAM)
        dead = [(*entry[0][:4], ("127.0.0.1", 1))]
        return dead + entry if host in ("redis.test", b"redis.test") else entry

    monkeypatch.setattr(socket, "getaddrinfo", two)
    link = wire(address=Tcp("redis.test", server.port))
    assert link.ask(PING()) == b"PONG"


def test_an_unavailable_server_never_raises_anything_else(wire: MakeWire) -> None:
    with FakeServer(silent) as server:
        link = wire(server, deadline=0.01, connect_timeout=0.01)
        for _ in range(10):
            assert isinstance(link.meet(READ()), Unavailable)
