"""The blocking pool: bounded, last in first out, and whole whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redpony import connections
from redpony.commands import BLPOP, ECHO, PING, WAIT
from redpony.errors import PoolExhausted, RedponyError, Unreachable
from redpony.wire.config import LinkConfig, Secret, Tcp, Tls
from redpony.wire.link import Link
from tests.hostile import FakeServer, silent
from tests.servers import Server
from tests.wire.links import CLIENT_ID, one, until, waiting

MakeLink = Callable[..., Link]


@pytest.fixture
def make_link() -> Iterator[MakeLink]:
    made: list[Link] = []

    def make(target: Any, **config: Any) -> Link:
        patient = {"deadline": 30.0, "connect_timeout": 30.0, **config}
        link = Link(LinkConfig(Tcp(target.host, target.port), **patient))
        made.append(link)
        return link

    yield make
    for link in made:
        link.close()


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run work in so many threads at once; return what they raised."""
    start = threading.Barrier(count)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_the_last_connection_given_back_is_the_next_one_used(
    make_link: MakeLink, valkey: Server
) -> None:
    link = make_link(valkey)
    pool = link.blocking.pool
    first, second, third = [pool.take(0)[0] for _ in range(3)]
    for connection in (second, first, third):
        pool.give_back(connection)
    assert pool.take(0) == (third, False)
    assert pool.take(0) == (first, False)
    assert pool.take(0) == (second, False)
    for connection in (first, second, third):
        pool.give_back(connection)


def test_a_quiet_process_uses_one_connection(
    make_link: MakeLink, server: Server
) -> None:
    link = make_link(server)
    with server.counting() as counted:
        assert len({link.run(one(CLIENT_ID())) for _ in range(100)}) == 1
    assert counted.connections == 1


def test_300_threads_share_20_connections(make_link: MakeLink, server: Server) -> None:
    link = make_link(server, pool_size=20)

    def work(number: int) -> None:
        for turn in range(10):
            text = b"%d-%d" % (number, turn)
            assert link.run(one(ECHO(text))) == text

    with server.counting() as counted:
        assert in_threads(300, work) == []
    assert counted.commands["echo"] == 3000
    assert counted.connections <= 20
    assert link.blocking.pool.opened <= 20
    assert link.blocking.pool.in_use == 0


def test_threads_whose_connections_are_killed_lose_no_place(
    make_link: MakeLink, server: Server
) -> None:
    link = make_link(server, pool_size=5, breaker_failures=10**6)
    over = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            for _ in range(50):
                server.ask("CLIENT", "KILL", "USER", "default")
            over.set()
        while not over.is_set():
            text = b"%d" % number
            try:
                assert link.run(one(ECHO(text))) == text
            except RedponyError:
                continue

    assert in_threads(20, work) == []
    assert link.blocking.pool.opened <= 5
    assert link.blocking.pool.in_use == 0
    assert in_threads(5, lambda _: link.run(waiting(BLPOP(b"q", b"0.05"), 5))) == []


def test_a_connection_that_cannot_be_opened_takes_no_place(
    make_link: MakeLink, server: Server
) -> None:
    with FakeServer(silent) as dead:
        link = make_link(
            dead, pool_size=1, connect_timeout=0.05, breaker_failures=10**6
        )
        for _ in range(5):
            with pytest.raises(Unreachable):
                link.run(one(PING()))
        assert link.blocking.pool.opened == 0


def test_who_waits_is_served_when_a_connection_is_given_back(
    make_link: MakeLink, server: Server
) -> None:
    link = make_link(server, pool_size=1)
    held = link.blocking.pool.take(0)[0]
    met: list[Any] = []
    thread = threading.Thread(target=lambda: met.append(link.run(one(PING()))))
    thread.start()
    until(lambda: link.blocking.pool.waiting)
    link.blocking.pool.give_back(held)
    thread.join()
    assert met == [b"PONG"]


def test_who_waits_is_served_when_a_connection_is_lost(
    make_link: MakeLink, server: Server
) -> None:
    link = make_link(server, pool_size=1)
    held = [link.blocking.pool.take(0)[0]]
    met: list[Any] = []
    thread = threading.Thread(target=lambda: met.append(link.run(one(PING()))))
    thread.start()
    until(lambda: link.blocking.pool.waiting)
    held.clear()  # as an interrupt would: nobody gives it back
    thread.join()
    assert met == [b"PONG"]


def test_the_error_of_a_full_pool_names_the_remedy(
    make_link: MakeLink, server: Server
) -> None:
    link = make_link(server, pool_size=1, deadline=0.1)
    held = link.blocking.pool.take(0)[0]
    with pytest.raises(PoolExhausted, match="POOL_SIZE"):
        link.run(one(PING()))
    link.blocking.pool.give_back(held)


def test_closing_leaves_the_link_usable(make_link: MakeLink, server: Server) -> None:
    link = make_link(server)
    link.run(one(PING()))
    link.close()
    until(lambda: server.users() == [])
    assert link.run(one(PING())) == b"PONG"


@pytest.mark.parametrize(
    ("command", "answer"), [(BLPOP(b"q", b"0"), [b"q", b"x"]), (WAIT(b"0", b"0"), 0)]
)
def test_a_blocking_command_keeps_its_connection_to_itself(
    command: Any, answer: Any, make_link: MakeLink, server: Server
) -> None:
    link = make_link(server, deadline=0.2)
    met: list[Any] = []
    thread = threading.Thread(
        target=lambda: met.append(link.run(waiting(command, None)))
    )
    thread.start()
    if command.name == "BLPOP":
        until(lambda: any(each["cmd"] == "blpop" for each in server.users()))
        for number in range(20):
            text = b"%d" % number
            assert link.run(one(ECHO(text))) == text
        assert met == []
        server.ask("RPUSH", "q", "x")
    thread.join()
    assert met == [answer]


def test_a_blocking_command_may_take_longer_than_the_deadline(
    make_link: MakeLink, server: Server
) -> None:
    # A server looks ten times a second whether somebody has waited long enough.
    link = make_link(server, deadline=0.3)
    assert link.run(waiting(BLPOP(b"none", b"0.6"), 0.6)) is None


def test_a_blocking_command_without_a_time_is_refused(
    make_link: MakeLink, server: Server
) -> None:
    with pytest.raises(TypeError, match="Wait"):
        make_link(server).run(one(BLPOP(b"q", b"0")))


# -- one link a configuration -----------------------------------------------


def test_equal_configurations_share_a_link_and_others_do_not() -> None:
    def config(**changed: Any) -> LinkConfig:
        given = {
            "address": Tcp("127.0.0.1", 20_000),
            "db": 1,
            "password": Secret("a"),
            "tls": Tls(ca_file="/nowhere"),
        }
        return LinkConfig(**{**given, **changed})

    link = connections.link_for(config())
    assert connections.link_for(config()) is link
    for changed in (
        {"address": Tcp("127.0.0.1", 20_001)},
        {"db": 2},
        {"username": "alice"},
        {"password": Secret("b")},
        {"tls": Tls(ca_file="/elsewhere")},
        {"tls": None},
        {"deadline": 0.3},
        {"pool_size": 21},
        {"protocol": 2},
        {"client_name": "shop"},
    ):
        other = connections.link_for(config(**changed))
        assert other is not link
        assert connections.link_for(config(**changed)) is other


def test_threads_that_come_at_once_get_one_link() -> None:
    got: list[Link] = []
    config = LinkConfig(Tcp("127.0.0.1", 20_002))
    assert in_threads(50, lambda _: got.append(connections.link_for(config))) == []
    assert len(set(map(id, got))) == 1
