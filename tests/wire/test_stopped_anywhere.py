"""An operation that is cancelled or interrupted costs nobody else anything.

At any point: no wrong answer to the next one, no lost place in the pool, and no
reconnect of the connection that tasks share.
"""

from __future__ import annotations

import asyncio

import pytest

from redpony.commands import BLPOP, ECHO
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from tests.hostile import OK, FakeServer, Peer
from tests.servers import Server
from tests.wire.fuzz import Cancels, Interrupts
from tests.wire.links import READ, one, until, waiting


def patient(server: Server) -> Link:
    return Link(
        LinkConfig(Tcp(server.host, server.port), deadline=30.0, connect_timeout=30.0)
    )


def test_cancelled_operations_shift_no_answer(valkey: Server) -> None:
    link = patient(valkey)
    with valkey.counting() as counted:
        counts = Cancels(link, seed=1).run(20_000)
    assert counts.wrong == []
    assert counts.complaints == []
    assert counted.connections == 1
    assert link.awaiting.loops.places.taken == 0


def test_cancelling_at_each_step_of_opening_shifts_no_answer(server: Server) -> None:
    """From the first step of a new loop to the answer, one step further each time."""
    link = patient(server)
    cancelled = True
    steps = 0

    async def cancel_after(steps: int) -> bool:
        task = asyncio.ensure_future(link.arun(one(ECHO(b"cancelled"))))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        (met,) = await asyncio.gather(task, return_exceptions=True)
        assert await link.arun(one(ECHO(b"next"))) == b"next"
        if isinstance(met, asyncio.CancelledError):
            return True
        assert met == b"cancelled"
        return False

    with server.counting() as counted:
        while cancelled:
            cancelled = asyncio.run(cancel_after(steps))
            steps += 1
    # Whoever comes next takes over what the cancelled one was opening.
    assert counted.connections == steps
    assert steps > 5
    assert link.awaiting.loops.places.taken == 0
    until(lambda: server.users() == [])


def test_cancelled_waits_lose_no_place(server: Server) -> None:
    link = Link(
        LinkConfig(
            Tcp(server.host, server.port),
            pool_size=3,
            deadline=30.0,
            connect_timeout=30.0,
        )
    )

    async def work() -> None:
        for number in range(200):
            tasks = [
                asyncio.ensure_future(link.arun(waiting(BLPOP(b"q", b"0"), None)))
                for _ in range(2)
            ]
            for _ in range(number % 20):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            text = b"%d" % number
            assert await link.arun(one(ECHO(text))) == text

    asyncio.run(work())
    assert link.awaiting.loops.places.taken == 0
    until(lambda: server.users() == [])


def test_a_cancelled_opener_leaves_the_connection_to_the_others() -> None:
    def counts(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        while peer.read():
            peer.send(OK)

    with FakeServer(counts) as server:
        link = patient(server)  # type: ignore[arg-type]

        async def work() -> None:
            tasks = [asyncio.ensure_future(link.arun(one(READ()))) for _ in range(10)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            assert await asyncio.gather(*tasks[1:]) == [b"OK"] * 9

        asyncio.run(work())
        assert server.accepted == 1


def test_interrupted_operations_shift_no_answer_and_lose_no_place(
    valkey: Server,
) -> None:
    link = patient(valkey)
    pool = link.blocking.pool
    counts = Interrupts(link, seed=2).run(20_000)
    assert counts.wrong == []
    assert counts.complaints == []
    assert counts.swallowed < counts.stopped / 100
    assert pool.in_use == 0
    # Every place is there, and none beyond.
    taken = [pool.take(0)[0] for _ in range(pool.size)]
    assert pool.opened == pool.size
    until(lambda: len(valkey.users()) == pool.size)
    for connection in taken:
        pool.give_back(connection)
    link.close()
    until(lambda: valkey.users() == [])


@pytest.mark.parametrize("size", [1, 2])
def test_interrupts_do_not_empty_a_small_pool(size: int, valkey: Server) -> None:
    link = Link(
        LinkConfig(
            Tcp(valkey.host, valkey.port),
            pool_size=size,
            deadline=30.0,
            connect_timeout=30.0,
        )
    )
    counts = Interrupts(link, seed=size).run(1_000)
    assert counts.wrong == []
    assert counts.complaints == []
    assert link.blocking.pool.in_use == 0
    assert link.blocking.pool.opened <= size
    link.close()
