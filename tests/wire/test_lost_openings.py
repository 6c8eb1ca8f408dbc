"""Connections that are lost while they are opened, or as soon as they are."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from redpony.commands import Lane
from redpony.errors import Unavailable, Unreachable
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from tests.hostile import HELLO, OK, FakeServer, Peer, answers, resets
from tests.wire.conftest import MakeWire
from tests.wire.links import INCR, READ, auntil, one


def hangs_up(peer: Any) -> None:
    """Close the connection when the greeting has come."""
    peer.read_bytes()


@pytest.mark.parametrize("rude", [hangs_up, resets], ids=["closed", "reset"])
@pytest.mark.parametrize("kind", [READ, INCR], ids=["read", "write"])
def test_a_connection_that_is_cut_in_the_handshake_is_opened_once_more(
    rude: Any, kind: Any, wire: MakeWire
) -> None:
    """`CLIENT KILL TYPE normal` hits whoever has just come; nothing was sent yet."""
    with FakeServer(rude, answers(b":1\r\n")) as server:
        assert wire(server).ask(kind(b"n")) == 1
        assert server.accepted == 2


def test_one_that_is_cut_again_and_again_is_given_up(wire: MakeWire) -> None:
    with FakeServer(hangs_up) as server:
        met = wire(server, breaker_failures=9).meet(INCR(b"n"))
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"
        assert server.accepted == 2


def test_without_retries_the_first_cut_is_the_last(wire: MakeWire) -> None:
    with FakeServer(hangs_up, answers(b":1\r\n")) as server:
        assert isinstance(wire(server, retries=0).meet(INCR(b"n")), Unreachable)
        assert server.accepted == 1


def test_a_connection_that_is_lost_as_it_opens_holds_no_loop() -> None:
    """Whoever asks for it before the loop has heard that it is open."""

    def greets_and_goes(peer: Peer) -> None:
        peer.greet()
        peer.send(b":1\r\n")

    async def work(server: FakeServer) -> int:
        link = Link(LinkConfig(Tcp(server.host, server.port), deadline=5.0))
        await link.arun(one(READ()))
        (state,) = link.awaiting.loops.by_loop.values()
        lost = state.shared
        assert lost is not None
        await auntil(lost.is_stale)

        async def opened() -> Any:
            return lost

        # As it is in the turn in which opening ends, before its callbacks run.
        state.shared = None
        task = asyncio.ensure_future(opened())
        await task
        state._opening[Lane.SHARED] = task
        return await link.arun(one(INCR(b"n")))

    with FakeServer(greets_and_goes) as server:
        found: list[int] = []
        thread = threading.Thread(
            target=lambda: found.append(asyncio.run(work(server))), daemon=True
        )
        thread.start()
        thread.join(20)
        assert found == [1]
        assert server.accepted == 2


def test_one_that_is_always_lost_as_it_opens_is_given_up() -> None:
    def greets_and_goes(peer: Peer) -> None:
        while peer.read()[0].upper() != b"HELLO":
            pass
        peer.send(HELLO + OK * 9)

    async def work(server: FakeServer) -> None:
        config = LinkConfig(Tcp(server.host, server.port), breaker_failures=99)
        met: list[Unavailable] = []
        for _ in range(5):
            try:
                await Link(config).arun(one(INCR(b"n")))
            except Unavailable as error:
                met.append(error)
        assert len(met) == 5

    with FakeServer(greets_and_goes) as server:
        asyncio.run(work(server))
        assert server.accepted <= 10
