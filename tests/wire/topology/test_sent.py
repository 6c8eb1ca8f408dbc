"""A flight in two halves: what may happen between them costs no answer and no slot."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redpony.commands import GET, PING, SET, Lane, Script, call
from redpony.errors import (
    CircuitOpen,
    DeadlineExceeded,
    ProtocolError,
    Unavailable,
    WrongType,
)
from redpony.plan import Batch
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from redpony.wire.parallel import Ask, Sent, ask_each
from redpony.wire.replies import pack
from tests.hostile import FakeServer, Peer, answers
from tests.proxy import Proxy
from tests.servers import Server
from tests.wire.links import INCR, until, waiting_at

ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")

MakeLink = Callable[..., Link]


@pytest.fixture
def link() -> Iterator[MakeLink]:
    made: list[Link] = []

    def make(target: Any, *, warm: int = 1, **config: Any) -> Link:
        config = {"deadline": 5.0, "connect_timeout": 5.0, **config}
        link = Link(LinkConfig(address=Tcp(target.host, target.port), **config))
        made.append(link)
        taken = [link.blocking.pool.take(0)[0] for _ in range(warm)]
        for connection in taken:
            link.blocking.pool.give_back(connection)
        return link

    yield make
    for each in made:
        each.close()


def ask(link: Link, *commands: Any, lasts: float = 5, **how: Any) -> Ask:
    return link.blocking, Batch(commands, **how), time.monotonic() + lasts, None


def many(link: Link, *keys: bytes, lasts: float = 5) -> Ask:
    payload = b"".join(pack((b"GET", key)) for key in keys)
    batch = Batch([GET(b"")] * len(keys))
    return link.blocking, batch, time.monotonic() + lasts, payload


def send(link: Link, *commands: Any, **how: Any) -> Sent:
    return Sent(*ask(link, *commands, **how))


def get_many(link: Link, *keys: bytes, **how: Any) -> Sent:
    return Sent(*many(link, *keys, **how))


def assert_whole(link: Link) -> None:
    """Nothing is out, and the next answers are the right ones."""
    assert link.blocking.pool.in_use == 0
    for number in range(3):
        key = b"whole:%d" % number
        assert link.blocking.ask(SET(key, key)) == b"OK"
        assert link.blocking.ask(GET(key)) == key
    assert link.blocking.pool.in_use == 0


def test_all_leave_before_any_is_read(link: MakeLink, server: Server) -> None:
    links = [link(server) for _ in range(3)]
    flights = [send(each, INCR(b"n"), INCR(b"n")) for each in links]
    until(lambda: server.ask("GET", "n") == b"6")
    replies = [number for each in flights for number in each.land()]
    assert sorted(replies) == [1, 2, 3, 4, 5, 6]
    for each in links:
        assert_whole(each)


def test_a_flight_takes_one_idle_connection_and_gives_it_back(
    link: MakeLink, server: Server
) -> None:
    made = link(server)
    flight = get_many(made, b"a", b"b")
    assert made.blocking.pool.in_use == 1
    assert list(flight.land()) == [None, None]
    assert_whole(made)


def test_an_error_among_answers_is_an_item(link: MakeLink, server: Server) -> None:
    made = link(server)
    server.ask("LPUSH", "list", "x")
    server.ask("SET", "text", "v")
    replies = get_many(made, b"text", b"list", b"gone").land()
    assert [replies[0], type(replies[1]), replies[2]] == [b"v", WrongType, None]
    assert_whole(made)


def test_where_nothing_is_idle_a_connection_is_opened_when_the_answer_is_due(
    link: MakeLink, server: Server
) -> None:
    made = link(server, warm=0)
    flight = send(made, SET(b"k", b"v"), GET(b"k"))
    assert made.blocking.pool.opened == 0
    assert list(flight.land()) == [b"OK", b"v"]
    assert_whole(made)


@pytest.mark.parametrize("command", [GET(b"n"), INCR(b"n")], ids=["GET", "INCR"])
def test_an_idle_connection_that_was_closed_costs_nothing(
    command: Any, link: MakeLink, server: Server
) -> None:
    made = link(server, warm=3)
    server.hang_up()
    until(lambda: not server.users())
    (reply,) = send(made, command).land()
    assert reply == (1 if command.name == "INCR" else None)
    assert made.breaker.failures == 0
    assert_whole(made)


def test_a_mutation_killed_in_flight_is_unknown_and_not_repeated(
    link: MakeLink, server: Server
) -> None:
    made = link(server)
    server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        flight = send(made, INCR(b"n"), INCR(b"n"))
        until(lambda: [each for each in server.users() if each["cmd"] == "incr"])
        server.hang_up()
        replies = flight.land()
    finally:
        server.ask("CLIENT", "UNPAUSE")
    assert [each.outcome for each in replies] == ["unknown"] * 2
    assert server.ask("GET", "n") is None
    assert_whole(made)


def test_a_read_killed_in_flight_is_asked_again(link: MakeLink, server: Server) -> None:
    server.ask("MSET", "a", "1", "b", "2")
    with Proxy((server.host, server.port)) as proxy:
        made = link(proxy)
        proxy.stall()
        flight = get_many(made, b"a", b"b")
        until(lambda: waiting_at(proxy.port))
        server.hang_up()
        proxy.heal()
        assert list(flight.land()) == [b"1", b"2"]
        assert_whole(made)


def test_without_retries_nothing_is_asked_again(link: MakeLink, server: Server) -> None:
    with Proxy((server.host, server.port)) as proxy:
        made = link(proxy, retries=0)
        proxy.stall()
        flight = get_many(made, b"a", b"b")
        until(lambda: waiting_at(proxy.port))
        server.hang_up()
        proxy.heal()
        assert [type(each) for each in flight.land()] == [Unavailable] * 2
        assert_whole(made)


def test_what_was_answered_before_the_end_stands(link: MakeLink) -> None:
    with FakeServer(answers(b":1\r\n"), answers(b"+PONG\r\n")) as fake:
        made = link(fake)
        replies = send(made, INCR(b"n"), INCR(b"n")).land()
        assert replies[0] == 1
        assert (type(replies[1]), replies[1].outcome) == (Unavailable, "unknown")
        assert made.blocking.pool.opened == 0


def test_a_script_that_the_server_does_not_know_goes_whole(
    link: MakeLink, server: Server
) -> None:
    made = link(server)
    commands = [call(ADD, (b"n",), (b"2",)), INCR(b"n"), call(ADD, (b"n",), (b"3",))]
    with server.counting() as counted:
        # The order is the server's: what it does not know comes behind the rest.
        assert list(send(made, *commands).land()) == [3, 1, 6]
    assert counted.commands["eval"] == 1
    assert_whole(made)


def test_a_node_that_is_left_alone_is_not_asked(link: MakeLink, server: Server) -> None:
    made = link(server, breaker_cooldown=60.0)
    for _ in range(3):
        made.breaker.failed(OSError("gone"))
    with server.counting() as counted:
        replies = send(made, GET(b"a"), GET(b"b")).land()
    assert [type(each) for each in replies] == [CircuitOpen] * 2
    assert counted.commands == {}
    assert made.blocking.pool.in_use == 0


def test_a_probe_of_a_node_that_was_left_alone_may_be_a_flight(
    link: MakeLink, server: Server
) -> None:
    made = link(server, breaker_cooldown=0.01)
    for _ in range(3):
        made.breaker.failed(OSError("gone"))
    until(lambda: made.breaker.state == "half-open")
    assert list(send(made, GET(b"a")).land()) == [None]
    assert made.breaker.state == "closed"


def test_an_answer_that_does_not_come_in_time_ends_the_connection(
    link: MakeLink, server: Server
) -> None:
    with Proxy((server.host, server.port)) as proxy:
        made = link(proxy, warm=2)
        proxy.stall()
        found = ask_each(
            [many(made, b"a", lasts=0.05), ask(made, INCR(b"n"), lasts=0.05)]
        )
        proxy.heal()
        assert [type(each) for (each,) in found] == [DeadlineExceeded] * 2
        assert [each.outcome for (each,) in found] == ["unknown"] * 2
        assert made.blocking.pool.opened == 0
        assert_whole(made)


def test_who_has_to_connect_to_many_silent_servers_does_not_wait_for_each(
    link: MakeLink,
) -> None:
    with FakeServer() as silent:
        links = [
            link(silent, warm=0, deadline=0.05, connect_timeout=0.1) for _ in range(6)
        ]
        found = ask_each([many(each, b"a", lasts=0.05) for each in links])
    kinds = [type(each).__name__ for (each,) in found]
    # One or two have taken all the time that there was.
    assert kinds.count("DeadlineExceeded") >= 4
    assert kinds[-1] == "DeadlineExceeded"
    assert [each.outcome for (each,) in found] == ["not_sent"] * 6


def test_a_transaction_goes_the_drivers_way(link: MakeLink, server: Server) -> None:
    made = link(server)
    flight = send(made, INCR(b"n"), INCR(b"n"), atomic=True)
    assert made.blocking.pool.in_use == 0
    assert list(flight.land()) == [1, 2]


def test_new_credentials_are_shown_before_the_flight(
    link: MakeLink, cold_server: Any
) -> None:
    server = cold_server(password="one")

    class Provider:
        def get_credentials(self) -> tuple[str]:
            return ("one",)

    made = link(server, credential_provider=Provider())
    made.renewal.epoch += 1
    flight = send(made, GET(b"a"))
    # What has to be renewed first is not sent in halves.
    assert made.blocking.pool.in_use == 0
    assert list(flight.land()) == [None]


class Interrupted(Exception):
    """What a signal's handler raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    """Return a function that has a signal's handler raise from now on, once."""

    def raise_it(number: int, frame: Any) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, raise_it)
    main = threading.main_thread().ident
    assert main is not None
    yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_an_interrupt_between_sending_and_landing_loses_no_slot(
    link: MakeLink, server: Server
) -> None:
    made = link(server, warm=3, pool_size=3)
    with pytest.raises(Interrupted):
        _interrupted(made)
    assert made.blocking.pool.in_use == 0
    assert_whole(made)


def _interrupted(made: Link) -> None:
    def asks() -> Iterator[Ask]:
        yield many(made, b"a")
        yield ask(made, INCR(b"n"))
        assert made.blocking.pool.in_use == 2
        raise Interrupted

    ask_each(asks())


def test_an_interrupt_while_answers_are_awaited_loses_no_slot(
    link: MakeLink, server: Server, alarm: Callable[[], None]
) -> None:
    with Proxy((server.host, server.port)) as proxy:
        made = link(proxy, warm=3, pool_size=3)
        proxy.stall()

        def ring() -> None:
            until(lambda: waiting_at(proxy.port))
            alarm()

        bell = threading.Thread(target=ring)
        bell.start()
        with pytest.raises(Interrupted):
            ask_each([many(made, b"a"), ask(made, INCR(b"n")), ask(made, PING())])
        bell.join()
        proxy.heal()
        assert made.blocking.pool.in_use == 0
        assert made.breaker.failures == 0
        assert_whole(made)


def test_who_waits_for_one_server_holds_no_connection_to_another(
    link: MakeLink, server: Server
) -> None:
    # One connection to each server, and each thread has the one that the other needs.
    first, second = (link(server, pool_size=1, deadline=2.0) for _ in range(2))
    taken = {each: each.blocking.pool.take(0)[0] for each in (first, second)}
    step = threading.Barrier(3)
    met: list[Any] = []

    def asks(wanted: Link, held: Link) -> Iterator[Ask]:
        yield many(wanted, b"k", lasts=2)
        step.wait(10)
        step.wait(10)
        yield many(held, b"k", lasts=2)
        assert held.blocking.pool.in_use == 1
        step.wait(10)

    def both(wanted: Link, held: Link) -> None:
        for replies in ask_each(asks(wanted, held)):
            met.extend(replies)

    crowd = [
        threading.Thread(target=both, args=pair)
        for pair in ((first, second), (second, first))
    ]
    for each in crowd:
        each.start()
    step.wait(10)
    for each, connection in taken.items():
        each.blocking.pool.give_back(connection)
    step.wait(10)
    step.wait(10)
    for each in crowd:
        each.join()
    assert met == [None] * 4


def test_a_blocking_command_is_not_sent_in_halves(
    link: MakeLink, server: Server
) -> None:
    made = link(server)
    flight = send(made, GET.of((b"k",), lane=Lane.BLOCKING, timeout=1))
    assert made.blocking.pool.in_use == 0
    assert list(flight.land()) == [None]


def test_a_stream_that_is_no_protocol_ends_the_connection(link: MakeLink) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.send(b"$1\r\na\r\nHTTP/1.1 400\r\n")
        peer.silence()

    with FakeServer(script) as fake:
        made = link(fake)
        replies = get_many(made, b"a", b"b").land()
        assert [isinstance(each, ProtocolError) for each in replies] == [True] * 2
        assert made.blocking.pool.opened == 0
