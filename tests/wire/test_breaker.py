"""The breaker, by a clock that the test moves, and what it hears from the drivers."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from redpony import events
from redpony.commands import ECHO, PING, Command
from redpony.errors import (
    CircuitOpen,
    DeadlineExceeded,
    RedponyError,
    ServerError,
    Unreachable,
)
from redpony.wire.breaker import LONGEST, Breaker
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from redpony.wire.multiplexer import GRACE
from tests.hostile import FakeServer, silent
from tests.servers import Server, free_port
from tests.wire.conftest import MakeWire
from tests.wire.links import INCR, READ, one, until

ERROR = Unreachable("node cannot be reached")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def states() -> Iterator[list[str]]:
    heard: list[str] = []
    unsubscribe = events.subscribe(
        lambda event: heard.append(event.state),  # type: ignore[attr-defined]
        events.BreakerChanged,
    )
    yield heard
    unsubscribe()


def opened(clock: Clock, *, failures: int = 3, cooldown: float = 0.1) -> Breaker:
    breaker = Breaker("node", failures, cooldown, clock)
    for _ in range(failures):
        breaker.failed(ERROR)
    return breaker


def wait_out(breaker: Breaker, clock: Clock) -> float:
    """Move the clock until the breaker lets somebody pass; return how far."""
    started = clock.now
    for _ in itertools.count():
        try:
            breaker.admit()
        except CircuitOpen:
            clock.now += 0.001
        else:
            return clock.now - started
    raise AssertionError


def test_it_opens_after_so_many_failures_in_a_row(
    clock: Clock, states: list[str]
) -> None:
    breaker = Breaker("node", 3, 1.0, clock)
    for _ in range(2):
        breaker.failed(ERROR)
        breaker.failed(ERROR)
        assert not breaker.blocked
        breaker.admit()
        breaker.succeeded()
    assert states == []
    for _ in range(3):
        breaker.failed(ERROR)
    assert breaker.blocked
    assert breaker.state == "open"
    assert states == ["open"]


def test_who_comes_while_it_is_open_learns_why(clock: Clock) -> None:
    breaker = opened(clock)
    with pytest.raises(CircuitOpen, match="node cannot be reached") as caught:
        breaker.admit()
    assert caught.value.outcome == "not_sent"
    assert "3 times in a row" in str(caught.value)


def test_one_probe_passes_and_its_success_closes_it(
    clock: Clock, states: list[str]
) -> None:
    breaker = opened(clock)
    wait_out(breaker, clock)
    assert breaker.state == "half-open"
    with pytest.raises(CircuitOpen):
        breaker.admit()
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.admit()
    breaker.admit()
    assert states == ["open", "half-open", "closed"]


def test_a_failed_probe_doubles_the_pause_up_to_the_longest(
    clock: Clock, states: list[str]
) -> None:
    breaker = opened(clock, cooldown=0.1)
    expected = 0.1
    for _ in range(6):
        pause = wait_out(breaker, clock)
        assert expected * 0.89 <= pause <= expected * 1.12
        breaker.failed(ERROR)
        assert breaker.state == "open"
        expected = min(expected * 2, LONGEST)
    assert states == ["open"] + ["half-open"] * 6
    # A success forgets the long pauses.
    wait_out(breaker, clock)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(ERROR)
    assert wait_out(breaker, clock) <= 0.1 * 1.12


def test_a_pause_longer_than_the_longest_is_kept_as_configured(clock: Clock) -> None:
    breaker = opened(clock, cooldown=30.0)
    assert wait_out(breaker, clock) >= 27.0
    breaker.failed(ERROR)
    assert wait_out(breaker, clock) <= 33.1


def test_failures_of_those_who_were_under_way_do_not_lengthen_the_pause(
    clock: Clock,
) -> None:
    breaker = opened(clock, cooldown=0.1)
    for _ in range(200):
        clock.now += 0.0001
        breaker.failed(ERROR)
    assert wait_out(breaker, clock) <= 0.1 * 1.12


def test_pauses_differ_so_that_processes_do_not_probe_in_step() -> None:
    pauses = set()
    for _ in range(20):
        clock = Clock()
        pauses.add(round(wait_out(opened(clock, cooldown=1.0), clock), 3))
    assert len(pauses) > 5
    assert all(0.89 <= pause <= 1.12 for pause in pauses)


def test_a_probe_that_never_reports_loses_its_privilege(clock: Clock) -> None:
    breaker = opened(clock)
    wait_out(breaker, clock)
    # Its thread was interrupted. The next one may try after another pause.
    assert 0 < wait_out(breaker, clock) <= 0.12


def test_one_thread_of_many_is_the_probe(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 1
    start = threading.Barrier(20)
    passed = []

    def ask() -> None:
        start.wait()
        try:
            breaker.admit()
        except CircuitOpen:
            return
        passed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 1


def refusal() -> Unreachable:
    error = Unreachable("nobody listens")
    error.refused = True
    return error


def test_a_node_that_refuses_is_looked_at_ten_times_as_often(clock: Clock) -> None:
    breaker = Breaker("node", 1, 1.0, clock)
    breaker.failed(refusal())
    for _ in range(5):
        assert 0.09 <= wait_out(breaker, clock) <= 0.112
        breaker.failed(refusal())
    # One that keeps silent makes callers wait: less often, and less and less so.
    wait_out(breaker, clock)
    breaker.failed(ERROR)
    assert 0.9 <= wait_out(breaker, clock) <= 1.102


def test_a_probe_of_a_node_that_refused_has_as_much_time_as_any(clock: Clock) -> None:
    breaker = Breaker("node", 1, 1.0, clock)
    breaker.failed(refusal())
    wait_out(breaker, clock)
    clock.now += 0.9
    with pytest.raises(CircuitOpen):
        breaker.admit()
    clock.now += 0.2
    breaker.admit()


def test_who_waits_is_turned_away_while_it_is_open(clock: Clock) -> None:
    breaker = Breaker("node", 1, 1.0, clock)
    breaker.refuse()
    breaker.failed(ERROR)
    with pytest.raises(CircuitOpen):
        breaker.refuse()
    # Not while somebody looks: that may well be who waits.
    wait_out(breaker, clock)
    breaker.refuse()
    breaker.failed(ERROR)
    with pytest.raises(CircuitOpen):
        breaker.refuse()
    clock.now += 3
    breaker.refuse()


def test_it_keeps_no_frame_of_a_failed_request_alive(clock: Clock) -> None:
    import gc
    import weakref

    class Request:
        pass

    def view(breaker: Breaker) -> weakref.ref[Request]:
        request = Request()
        try:
            raise Unreachable("no")
        except Unreachable as error:
            breaker.failed(error)
        return weakref.ref(request)

    breaker = Breaker("node", 1, 1.0, clock)
    held = view(breaker)
    gc.collect()
    assert held() is None


# -- what the drivers tell it -----------------------------------------------


def test_a_refused_connection_counts_and_then_nobody_is_asked(wire: MakeWire) -> None:
    link = wire(
        address=Tcp("127.0.0.1", free_port()),
        breaker_failures=3,
        breaker_cooldown=60.0,
    )
    met = [type(link.meet(READ())) for _ in range(5)]
    assert met == [Unreachable] * 3 + [CircuitOpen] * 2


def test_a_silent_server_counts(wire: MakeWire) -> None:
    with FakeServer(silent) as server:
        link = wire(
            server,
            deadline=0.05,
            connect_timeout=0.05,
            breaker_failures=3,
            breaker_cooldown=60.0,
        )
        for _ in range(3):
            assert isinstance(link.meet(READ()), DeadlineExceeded)
        accepted = server.accepted
        for kind in (READ, INCR):
            assert isinstance(link.meet(kind(b"x")), CircuitOpen)
        assert server.accepted == accepted


def test_who_waits_for_a_connection_is_not_kept_waiting_for_a_silent_server() -> None:
    """The first to give up opens the breaker, and the line behind it dissolves."""
    with FakeServer(lambda peer: (peer.greet(), peer.silence())) as server:
        link = impatient(server, deadline=5.0)
        met: list[Any] = []

        def ask(command: Command) -> None:
            try:
                link.run(one(command))
            except RedponyError as error:
                met.append(error)

        holder = threading.Thread(target=ask, args=(READ().within(1.0),))
        holder.start()
        until(lambda: link.blocking.pool.in_use)
        line = [threading.Thread(target=ask, args=(INCR(b"n"),)) for _ in range(5)]
        for each in line:
            each.start()
        for each in [holder, *line]:
            each.join(20)
        turned_away = sum(type(each) is CircuitOpen for each in met)
        assert len(met) == 6
        # The first in line may have the place before the breaker hears of it.
        assert turned_away >= 4


def test_nor_are_loops_that_wait_for_a_connection() -> None:
    with FakeServer(silent) as server:
        link = impatient(server)
        met: list[Any] = []

        def ask() -> None:
            try:
                asyncio.run(link.arun(one(READ())))
            except RedponyError as error:
                met.append(error)

        holder = threading.Thread(target=ask)
        holder.start()
        until(lambda: link.awaiting.loops.places.taken)
        time.sleep(0.3)
        line = [threading.Thread(target=ask) for _ in range(5)]
        for each in line:
            each.start()
        for each in [holder, *line]:
            each.join(20)
        assert sum(type(each) is CircuitOpen for each in met) >= 4


def impatient(server: Any, **config: Any) -> Link:
    return Link(
        LinkConfig(
            Tcp(server.host, server.port),
            connect_timeout=1.0,
            pool_size=1,
            breaker_failures=1,
            breaker_cooldown=60.0,
            **config,
        )
    )


def test_it_is_shared_between_the_colours() -> None:
    link = Link(
        LinkConfig(
            Tcp("127.0.0.1", free_port()), breaker_failures=3, breaker_cooldown=60.0
        )
    )
    with pytest.raises(Unreachable):
        link.run(one(PING()))

    async def twice() -> None:
        for _ in range(2):
            with pytest.raises(Unreachable):
                await link.arun(one(PING()))
        with pytest.raises(CircuitOpen):
            await link.arun(one(PING()))

    asyncio.run(twice())
    with pytest.raises(CircuitOpen):
        link.run(one(PING()))


def test_a_server_that_comes_back_is_asked_again(
    wire: MakeWire, cold_server: Any, states: list[str]
) -> None:
    server: Server = cold_server()
    link = wire(server, breaker_failures=2, breaker_cooldown=0.05)
    link.ask(PING())
    server.kill()
    until(lambda: isinstance(link.meet(PING()), CircuitOpen))
    server.start()
    until(lambda: link.meet(PING()) == b"PONG")
    assert link.link.breaker.state == "closed"
    assert states[0] == "open"
    assert states[-2:] == ["half-open", "closed"]


def test_error_replies_are_answers(wire: MakeWire, server: Server) -> None:
    server.ask("RPUSH", "list", "x")
    link = wire(server, breaker_failures=1)
    for _ in range(5):
        assert isinstance(link.meet(INCR(b"list")), ServerError)
    assert link.link.breaker.failures == 0


def test_a_restart_is_no_failure_of_idle_connections(
    wire: MakeWire, cold_server: Any
) -> None:
    server: Server = cold_server()
    link = wire(server, breaker_failures=1)
    link.ask(PING())
    server.restart()
    assert link.ask(PING()) == b"PONG"
    server.restart()
    assert link.ask(INCR(b"n")) == 1


def test_a_stalled_loop_is_not_the_servers_fault(server: Server) -> None:
    link = Link(
        LinkConfig(Tcp(server.host, server.port), deadline=0.15, breaker_failures=1)
    )

    async def stall() -> list[Any]:
        await link.arun(one(PING()))
        tasks = [
            asyncio.ensure_future(link.arun(one(ECHO(b"%d" % number))))
            for number in range(200)
        ]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, 0.15 + GRACE * 4)
        return await asyncio.gather(*tasks)

    with server.counting() as counted:
        answers = asyncio.run(stall())
    assert answers == [b"%d" % number for number in range(200)]
    assert counted.commands["echo"] == 200
    assert counted.connections == 1
    assert link.breaker.failures == 0
