"""Event loops come and go, stall and end badly; connections do not pile up."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from redpony.commands import BLPOP, ECHO, PING, WAIT, Lane
from redpony.errors import DeadlineExceeded, PoolExhausted, Unavailable
from redpony.wire.config import LinkConfig, Tcp, Unix
from redpony.wire.link import Link
from tests.hostile import OK, FakeServer, Peer
from tests.servers import Server
from tests.wire.links import READ, auntil, one, until, waiting

PATIENT = {"deadline": 10.0, "connect_timeout": 10.0}


def link_to(target: Any, **config: Any) -> Link:
    return Link(LinkConfig(Tcp(target.host, target.port), **{**PATIENT, **config}))


async def ask(link: Link, command: Any) -> Any:
    return await link.arun(one(command))


async def echo(link: Link, text: bytes) -> None:
    assert await link.arun(one(ECHO(text))) == text


# -- loops in turn ----------------------------------------------------------


@pytest.mark.parametrize("runner", ["asyncio.run", "async_to_sync"])
def test_200_loops_in_turn_leave_no_connection(runner: str, server: Server) -> None:
    link = link_to(server)
    with server.counting() as counted:
        for number in range(200):
            if runner == "asyncio.run":
                asyncio.run(echo(link, b"%d" % number))
            else:
                async_to_sync(echo)(link, b"%d" % number)
            assert link.awaiting.loops.places.taken == 0
    assert counted.connections == 200
    until(lambda: server.users() == [])
    assert link.awaiting.loops.by_loop == {}


def test_a_loop_that_ends_with_work_in_flight_leaves_no_connection(
    server: Server,
) -> None:
    link = link_to(server)

    async def leave() -> None:
        await ask(link, PING())
        for _ in range(5):
            task = asyncio.ensure_future(link.arun(waiting(BLPOP(b"q", b"0"), None)))
            tasks.append(task)
        await asyncio.sleep(0.02)

    tasks: list[asyncio.Future[Any]] = []
    asyncio.run(leave())
    assert all(task.cancelled() for task in tasks)
    until(lambda: server.users() == [])
    assert link.awaiting.loops.places.taken == 0


def test_a_loop_that_ends_while_opening_leaves_no_connection() -> None:
    def never_greets(peer: Peer) -> None:
        peer.silence()

    with FakeServer(never_greets) as server:
        link = link_to(server)

        async def leave() -> None:
            task = asyncio.ensure_future(ask(link, PING()))
            await auntil(lambda: server.accepted)
            task.cancel()

        asyncio.run(leave())
        assert link.awaiting.loops.places.taken == 0
        assert link.awaiting.loops.by_loop == {}


def test_loops_closed_without_a_farewell_are_swept(server: Server) -> None:
    link = link_to(server, pool_size=5)
    with warnings.catch_warnings():
        # Asyncio says so of transports whose loop was closed under them.
        warnings.simplefilter("ignore", ResourceWarning)
        for number in range(20):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(echo(link, b"%d" % number))
            loop.close()
            del loop
            assert link.awaiting.loops.places.taken <= 5
        link.close()
        gc.collect()
    assert link.awaiting.loops.places.taken == 0
    until(lambda: server.users() == [])


def test_two_loops_at_once_have_a_connection_each(server: Server) -> None:
    link = link_to(server)
    first, second = asyncio.Runner(), asyncio.Runner()
    with first, second:
        for number in range(10):
            first.run(echo(link, b"1-%d" % number))
            second.run(echo(link, b"2-%d" % number))
        assert link.awaiting.loops.places.taken == 2
    assert link.awaiting.loops.places.taken == 0


# -- threads, each with a loop ----------------------------------------------


def test_300_threads_with_a_loop_each_share_the_places(server: Server) -> None:
    link = link_to(server, pool_size=20)
    start = threading.Barrier(300)
    met: list[Any] = []
    most = []

    def work(number: int) -> None:
        start.wait()
        try:
            async_to_sync(echo)(link, b"%d" % number)
        except BaseException as error:
            met.append(error)
        else:
            met.append(None)
        most.append(link.awaiting.loops.places.taken)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(300)]
    with server.counting() as counted:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [error for error in met if error is not None] == []
    assert len(met) == 300
    assert max(most) <= 20
    assert counted.commands["echo"] == 300
    assert int(server.info("stats")["rejected_connections"]) == 0
    until(lambda: server.users() == [])


def test_an_idle_loop_gives_its_place_to_another(server: Server) -> None:
    link = link_to(server, pool_size=1)
    first_is_done, second_is_done = threading.Event(), threading.Event()

    async def first() -> None:
        await echo(link, b"first")
        first_is_done.set()
        assert await asyncio.to_thread(second_is_done.wait, 8)
        await echo(link, b"first again")

    thread = threading.Thread(target=asyncio.run, args=(first(),))
    thread.start()
    first_is_done.wait(10)
    asyncio.run(echo(link, b"second"))
    second_is_done.set()
    thread.join()
    assert link.awaiting.loops.places.taken == 0


def test_a_loop_that_finds_no_place_in_time_is_told_so(server: Server) -> None:
    link = link_to(server, pool_size=1, connect_timeout=0.1)
    is_busy, is_over = threading.Event(), threading.Event()

    async def busy() -> None:
        task = asyncio.ensure_future(link.arun(waiting(BLPOP(b"q", b"0"), None)))
        await auntil(lambda: any(each["cmd"] == "blpop" for each in server.users()))
        is_busy.set()
        await asyncio.to_thread(is_over.wait, 10)
        task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(busy(),))
    thread.start()
    is_busy.wait(10)
    with pytest.raises(PoolExhausted) as caught:
        asyncio.run(echo(link, b"x"))
    assert caught.value.outcome == "not_sent"
    assert link.breaker.failures == 0
    is_over.set()
    thread.join()


# -- one loop, one connection -----------------------------------------------


def test_writes_of_one_turn_leave_together(server: Server) -> None:
    link = link_to(server)

    async def many() -> None:
        await ask(link, PING())
        with server.counting() as counted:
            await asyncio.gather(*[echo(link, b"%d" % n) for n in range(200)])
        assert counted.commands["echo"] == 200
        assert counted.connections == 0
        # The first leaves at once, the rest in one piece.
        assert counted.reads <= 2

    asyncio.run(many())


@pytest.mark.parametrize("stall", [0.3, 0.5])
def test_a_stalled_loop_discards_no_answer(stall: float, server: Server) -> None:
    link = link_to(server, deadline=0.25, breaker_failures=1)

    async def work() -> list[Any]:
        await ask(link, PING())
        tasks = [
            asyncio.ensure_future(ask(link, ECHO(b"%d" % number)))
            for number in range(200)
        ]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, stall)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert asyncio.run(work()) == [b"%d" % number for number in range(200)]
    assert link.breaker.failures == 0


def test_a_stall_before_anything_was_sent_discards_no_answer(server: Server) -> None:
    link = link_to(server, deadline=0.25, breaker_failures=1)

    async def work() -> list[Any]:
        await ask(link, PING())
        tasks = [asyncio.ensure_future(ask(link, ECHO(b"x"))) for _ in range(200)]
        asyncio.get_running_loop().call_soon(time.sleep, 0.4)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert asyncio.run(work()) == [b"x"] * 200
    assert link.breaker.failures == 0


@pytest.mark.parametrize("stall", [0.27, 0.4])
def test_all_answers_that_have_arrived_survive_a_stall(
    stall: float, server: Server
) -> None:
    """More than one buffer of them; a unix socket holds them while nobody reads."""
    config = LinkConfig(
        Unix(server.socket_path), deadline=0.25, connect_timeout=10, breaker_failures=1
    )
    link = Link(config)
    text = b"x" * 1000

    async def work() -> list[Any]:
        await ask(link, PING())
        tasks = [asyncio.ensure_future(ask(link, ECHO(text))) for _ in range(150)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, stall)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert asyncio.run(work()) == [text] * 150
    assert link.breaker.failures == 0


def test_answers_that_are_still_coming_survive_a_long_stall(server: Server) -> None:
    link = link_to(server, deadline=0.25, breaker_failures=1)
    large = b"x" * 50_000

    async def work() -> list[Any]:
        await ask(link, PING())
        tasks = [asyncio.ensure_future(ask(link, ECHO(large))) for _ in range(60)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, 0.4)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert asyncio.run(work()) == [large] * 60
    assert link.breaker.failures == 0


def test_a_late_answer_goes_to_nobody_and_costs_no_connection() -> None:
    def late(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        peer.read()
        is_late.wait(10)
        peer.send(b":1\r\n")
        peer.read()
        peer.send(b":2\r\n")
        peer.silence()

    is_late = threading.Event()
    with FakeServer(late) as server:
        link = link_to(server)

        async def work() -> None:
            await ask(link, READ())
            with pytest.raises(DeadlineExceeded) as caught:
                await ask(link, READ().within(0.2))
            assert caught.value.outcome == "unknown"
            is_late.set()
            assert await ask(link, READ()) == 2

        asyncio.run(work())
        assert server.accepted == 1


def test_a_request_that_is_overdue_twice_ends_the_connection() -> None:
    def forgets(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        if peer.number:
            peer.greet()
            peer.send(b":7\r\n")
        peer.silence()

    with FakeServer(forgets) as server:
        link = link_to(server, breaker_failures=100)

        async def work() -> None:
            await ask(link, READ())
            behind = asyncio.ensure_future(ask(link, READ()))
            with pytest.raises(DeadlineExceeded):
                await ask(link, READ().within(0.1))
            (state,) = link.awaiting.loops.by_loop.values()
            # Whoever stands behind it is not made to wait for ever.
            with pytest.raises(Unavailable):
                await behind
            assert state.shared is None
            await ask(link, READ())
            assert await ask(link, READ()) == 7

        asyncio.run(work())
        assert server.accepted == 2


def test_a_cancelled_request_that_is_never_answered_ends_the_connection() -> None:
    def forgets(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        peer.silence()

    with FakeServer(forgets) as server:
        link = link_to(server, breaker_failures=100)

        async def work() -> None:
            await ask(link, READ())
            task = asyncio.ensure_future(ask(link, READ().within(0.05)))
            await asyncio.sleep(0)
            task.cancel()
            (state,) = link.awaiting.loops.by_loop.values()
            await auntil(lambda: state.shared is None)
            assert await ask(link, READ()) == b"OK"

        asyncio.run(asyncio.wait_for(work(), 10))
        assert server.accepted == 2


# -- lanes ------------------------------------------------------------------


@pytest.mark.parametrize(
    "held", [BLPOP(b"nothing", b"0"), WAIT(b"7", b"5000")], ids=["BLPOP", "WAIT"]
)
def test_a_blocking_command_holds_up_nobody(held: Any, server: Server) -> None:
    link = link_to(server)

    async def work() -> None:
        task = asyncio.ensure_future(link.arun(waiting(held, 5)))
        await auntil(
            lambda: any(each["cmd"] == held.name.lower() for each in server.users())
        )
        for number in range(50):
            await echo(link, b"%d" % number)
        assert not task.done()
        assert len(server.users()) == 2
        task.cancel()

    asyncio.run(work())


def test_a_connection_for_blocking_is_used_again(server: Server) -> None:
    link = link_to(server)

    async def work() -> None:
        for number in range(10):
            server.ask("RPUSH", "queue", number)
            answer = await link.arun(waiting(BLPOP(b"queue", b"5"), 5))
            assert answer == [b"queue", b"%d" % number]
            assert await link.arun(waiting(BLPOP(b"none", b"0.01"), 5)) is None
        assert len(server.users()) == 1

    with server.counting() as counted:
        asyncio.run(work())
    assert counted.commands["hello"] == 1


def test_a_cancelled_wait_takes_nothing_from_the_queue(server: Server) -> None:
    link = link_to(server)

    async def work() -> None:
        task = asyncio.ensure_future(link.arun(waiting(BLPOP(b"queue", b"0"), None)))
        await auntil(lambda: any(each["cmd"] == "blpop" for each in server.users()))
        task.cancel()
        await asyncio.wait([task])
        await auntil(lambda: not server.users())

    asyncio.run(work())
    server.ask("RPUSH", "queue", "kept")
    assert server.ask("LLEN", "queue") == 1


def test_a_wait_that_the_server_does_not_end_is_ended(server: Server) -> None:
    link = link_to(server, deadline=0.1)

    async def work() -> None:
        with pytest.raises(DeadlineExceeded):
            await link.arun(waiting(BLPOP(b"none", b"0"), 0.1))
        await echo(link, b"x")

    asyncio.run(work())


def test_what_is_declared_bulky_has_a_connection_of_its_own(server: Server) -> None:
    link = link_to(server)
    large = b"x" * 5_000_000

    async def work() -> None:
        await echo(link, b"x")
        bulky = asyncio.ensure_future(
            ask(link, ECHO.of((large,), lane=Lane.BULK, timeout=10))
        )
        for number in range(20):
            await echo(link, b"%d" % number)
        assert await bulky == large
        assert await ask(link, ECHO.of((b"y",), lane=Lane.BULK)) == b"y"
        assert len(server.users()) == 2
        (state,) = link.awaiting.loops.by_loop.values()
        assert state.bulk is not state.shared

    asyncio.run(work())


# -- bounds -----------------------------------------------------------------


class Gate:
    """A server that answers in order, but only what the test lets through."""

    def __init__(self) -> None:
        self.open = threading.Semaphore(0)
        self.read = 0

    def __call__(self, peer: Peer) -> None:
        command = peer.greet()
        while True:
            self.read += 1
            self.open.acquire()
            peer.send(b"$%d\r\n%b\r\n" % (len(command[1]), command[1]))
            command = peer.read()


def test_what_is_in_flight_is_bounded_in_number() -> None:
    gate = Gate()
    with FakeServer(gate) as server:
        link = link_to(server, max_in_flight=10)

        async def work() -> None:
            gate.open.release()
            await ask(link, READ(b"warm"))
            (state,) = link.awaiting.loops.by_loop.values()
            assert state.shared is not None
            tasks = [
                asyncio.ensure_future(ask(link, READ(b"%d" % number)))
                for number in range(100)
            ]
            for _ in range(20):
                await asyncio.sleep(0)
            assert state.shared.in_flight == 10
            most = 0
            for task in tasks:
                gate.open.release()
                await task
                most = max(most, state.shared.in_flight)
            assert [await task for task in tasks] == [b"%d" % n for n in range(100)]
            assert most <= 10

        asyncio.run(work())
        assert server.accepted == 1


def test_what_is_in_flight_is_bounded_in_bytes() -> None:
    gate = Gate()
    with FakeServer(gate) as server:
        link = link_to(server, max_bytes_in_flight=100_000)

        async def work() -> None:
            gate.open.release()
            await ask(link, READ(b"warm"))
            (state,) = link.awaiting.loops.by_loop.values()
            assert state.shared is not None
            tasks = [
                asyncio.ensure_future(ask(link, READ(b"%d" % number * 30_000)))
                for number in range(9)
            ]
            for _ in range(20):
                await asyncio.sleep(0)
            assert state.shared.in_flight == 4
            for task in tasks:
                gate.open.release()
                await task

        asyncio.run(work())


def test_who_finds_no_room_in_time_was_not_sent() -> None:
    gate = Gate()
    with FakeServer(gate) as server:
        link = link_to(server, max_in_flight=1)

        async def work() -> None:
            gate.open.release()
            await ask(link, READ(b"warm"))
            first = asyncio.ensure_future(ask(link, READ(b"first")))
            await asyncio.sleep(0)
            with pytest.raises(PoolExhausted) as caught:
                await ask(link, READ(b"second").within(0.1))
            assert caught.value.outcome == "not_sent"
            gate.open.release()
            assert await first == b"first"

        asyncio.run(work())
        assert gate.read == 2
        assert link.breaker.failures == 0


def test_who_waits_for_room_is_not_lost_with_the_connection() -> None:
    def ends(peer: Peer) -> None:
        command = peer.greet()
        peer.send(OK)
        if peer.number == 0:
            peer.read()
            is_full.wait(10)
            return
        while command:
            command = peer.read()
            peer.send(b":7\r\n")

    is_full = threading.Event()
    with FakeServer(ends) as server:
        link = link_to(server, max_in_flight=1)

        async def work() -> None:
            await ask(link, READ())
            first = asyncio.ensure_future(ask(link, READ()))
            await asyncio.sleep(0)
            others = [asyncio.ensure_future(ask(link, READ())) for _ in range(3)]
            for _ in range(5):
                await asyncio.sleep(0)
            is_full.set()
            answers = await asyncio.gather(first, *others)
            assert sorted(answers, key=str) == [7, 7, 7, b"OK"]

        asyncio.run(work())
        assert server.accepted == 2
