"""A mutation happens once or not at all, and its error says what is known.

What counts is what the server has afterwards: as many effects as there were
answers, and at most one more for each outcome that was "unknown".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redpony import events
from redpony.commands import DEL, GET, LPUSH, PING, SET, Command
from redpony.errors import (
    DeadlineExceeded,
    PoolExhausted,
    ProtocolError,
    ServerError,
    Unavailable,
    Unreachable,
    WrongType,
)
from redpony.wire.config import Tcp
from tests.hostile import OK, FakeServer, Peer
from tests.proxy import Proxy
from tests.servers import Server, free_port
from tests.wire.conftest import MakeWire
from tests.wire.links import INCR, READ, WRITE, Wire, until, waiting_at

MUTATIONS: dict[str, tuple[Command, Callable[[Server], int]]] = {
    "INCR": (INCR(b"n"), lambda server: int(server.ask("GET", "n") or 0)),
    "LPUSH": (LPUSH(b"n", b"x"), lambda server: server.ask("LLEN", "n")),
}


@pytest.fixture(params=MUTATIONS)
def mutation(request: pytest.FixtureRequest) -> tuple[Command, Any]:
    return MUTATIONS[request.param]


def kill_users(server: Server) -> None:
    server.ask("CLIENT", "KILL", "USER", "default")


def test_a_mutation_under_a_stall_happens_at_most_once(
    mutation: tuple[Command, Any], wire: MakeWire, cold_server: Any
) -> None:
    command, effects = mutation
    server = cold_server()
    link = wire(server, deadline=0.2)
    link.ask(PING())
    server.pause()
    met = link.meet(command)
    server.resume()
    assert isinstance(met, DeadlineExceeded)
    assert met.outcome == "unknown"
    until(lambda: isinstance(link.meet(PING()), bytes))
    assert effects(server) in (0, 1)


def test_a_late_set_is_not_sent_again_over_a_later_one(
    wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server()
    link = wire(server, deadline=0.2)
    link.ask(PING())
    server.pause()
    met = link.meet(SET(b"k", b"early"))
    server.resume()
    assert isinstance(met, DeadlineExceeded)
    assert met.outcome == "unknown"
    until(lambda: isinstance(link.meet(PING()), bytes))
    until(lambda: isinstance(link.meet(SET(b"k", b"late")), bytes))
    with server.counting() as counted:
        assert link.ask(GET(b"k")) == b"late"
    assert "set" not in counted.commands


def test_an_idle_connection_that_was_closed_costs_a_mutation_nothing(
    mutation: tuple[Command, Any], wire: MakeWire, server: Server
) -> None:
    command, effects = mutation
    link = wire(server)
    for count in range(1, 6):
        assert link.ask(command) == count
        kill_users(server)
        until(lambda: not server.users())
    assert effects(server) == 5
    assert link.link.breaker.failures == 0


def test_a_pool_of_closed_connections_costs_nobody_anything(server: Server) -> None:
    from tests.colours import Colour

    for command in (GET(b"k"), INCR(b"n")):
        link = Wire.to(Colour("sync"), address=Tcp(server.host, server.port))
        pool = link.link.blocking.pool
        taken = [pool.take(0)[0] for _ in range(10)]
        for connection in taken:
            pool.give_back(connection)
        kill_users(server)
        until(lambda: not server.users())
        link.ask(command)
        assert link.link.breaker.failures == 0
        assert pool.opened < 10
        link.close()


def test_a_mutation_killed_in_flight_is_unknown_and_not_repeated(
    mutation: tuple[Command, Any], wire: MakeWire, server: Server
) -> None:
    command, effects = mutation
    link = wire(server)
    link.ask(PING())
    name = command.name.lower()
    server.ask("CLIENT", "PAUSE", 60_000, "WRITE")

    def kill() -> None:
        until(lambda: [each for each in server.users() if each["cmd"] == name])
        kill_users(server)

    try:
        met = link.meet_while(command, kill)
    finally:
        server.ask("CLIENT", "UNPAUSE")
    assert type(met) is Unavailable
    assert met.outcome == "unknown"
    assert effects(server) == 0
    assert link.ask(command) == 1


def test_a_read_killed_in_flight_is_asked_again(wire: MakeWire, server: Server) -> None:
    server.ask("SET", "k", "v")
    with Proxy((server.host, server.port)) as proxy:
        link = wire(proxy)
        link.ask(PING())
        proxy.stall()

        def cut() -> None:
            until(lambda: waiting_at(proxy.port))
            kill_users(server)
            proxy.heal()

        assert link.meet_while(GET(b"k"), cut) == b"v"
        assert link.link.breaker.state == "closed"


def test_a_mutation_cut_within_its_reply_has_happened_once(
    mutation: tuple[Command, Any], wire: MakeWire, server: Server
) -> None:
    command, effects = mutation
    with Proxy((server.host, server.port)) as proxy:
        for cut in range(4):
            link = wire(proxy)
            link.ask(PING())
            proxy.cut_after(cut)
            met = link.meet(command)
            proxy.heal()
            assert type(met) is Unavailable
            assert met.outcome == "unknown"
            assert effects(server) == cut + 1


def test_a_mutation_cut_within_its_request_has_not_happened(
    mutation: tuple[Command, Any], wire: MakeWire, server: Server
) -> None:
    command, effects = mutation
    with Proxy((server.host, server.port)) as proxy:
        link = wire(proxy)
        link.ask(PING())
        sent = proxy.to_server
        proxy.stall()

        def cut() -> None:
            # It has left, as far as the client can know, and gets no further.
            until(lambda: waiting_at(proxy.port))
            proxy.cut()

        met = link.meet_while(command, cut)
        assert type(met) is Unavailable
        assert met.outcome == "unknown"
        assert proxy.to_server == sent
        assert effects(server) == 0


def test_a_batch_keeps_what_was_answered_before_its_connection_broke(
    wire: MakeWire, server: Server
) -> None:
    with Proxy((server.host, server.port)) as proxy:
        link = wire(proxy)
        link.ask(PING())
        proxy.cut_after(len(b":1\r\n:2\r\n:"))
        replies = link.ask_all(*[INCR(b"n")] * 4)
        proxy.heal()
        assert list(replies[:2]) == [1, 2]
        assert [replies.outcome(index) for index in range(4)] == [
            None,
            None,
            "unknown",
            "unknown",
        ]
        assert int(server.ask("GET", "n")) == 4


def test_a_batch_of_which_a_part_may_have_arrived_is_not_repeated(
    wire: MakeWire,
) -> None:
    def read_some(peer: Peer) -> None:
        peer.greet()
        peer.send(OK)
        for _ in range(8):
            peer.read_bytes()
        peer.reset()

    with FakeServer(read_some) as server:
        link = wire(server)
        link.ask(READ())
        replies = link.ask_all(*[WRITE(b"x" * 1_000_000)] * 20)
        assert {replies.outcome(index) for index in range(20)} == {"unknown"}
        assert server.accepted == 1


@pytest.mark.parametrize("retries", [0, 1, 2])
@pytest.mark.parametrize("warm", [False, True])
def test_a_read_is_repeated_as_often_as_configured(
    retries: int, warm: bool, wire: MakeWire
) -> None:
    asked = []

    def ends(peer: Peer) -> None:
        command = peer.greet()
        if command[1:] == [b"warm"]:
            peer.send(OK)
            command = peer.read()
        asked.append(command)

    told: list[events.Event] = []
    unsubscribe = events.subscribe(told.append, events.Retried)
    with FakeServer(ends) as server:
        link = wire(server, retries=retries, breaker_failures=100)
        if warm:
            link.ask(READ(b"warm"))
        met = link.meet(READ(b"x"))
        assert type(met) is Unavailable
        assert met.outcome == "unknown"
        assert len(asked) == retries + 1
        assert [each.attempt for each in told] == list(range(2, retries + 2))  # type: ignore[attr-defined]
        # One for all of a batch, as well.
        asked.clear()
        link.ask_all(READ(b"x"), READ(b"x"))
        assert len(asked) == retries + 1
    unsubscribe()


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("end", ["closed", "reset"])
@pytest.mark.parametrize("kind", [WRITE, DEL, SET])
def test_a_mutation_is_never_repeated_once_it_was_sent(
    kind: Any, end: str, warm: bool, wire: MakeWire
) -> None:
    """Nor one that may be: a second DEL would answer that there was nothing."""
    asked = []

    def ends(peer: Peer) -> None:
        command = peer.greet()
        if command[1:] == [b"warm"]:
            peer.send(OK)
            command = peer.read()
        asked.append(command)
        if end == "reset":
            peer.reset()

    with FakeServer(ends) as server:
        link = wire(server, retries=5)
        if warm:
            link.ask(READ(b"warm"))
        met = link.meet(kind(b"x"))
        assert type(met) is Unavailable
        assert met.outcome == "unknown"
        assert len(asked) == 1


def test_reads_go_on_while_writes_are_paused(wire: MakeWire, server: Server) -> None:
    server.ask("SET", "k", "v")
    link = wire(server)
    server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        assert [link.ask(GET(b"k")) for _ in range(20)] == [b"v"] * 20
        met = link.meet(INCR(b"n").within(0.1))
    finally:
        server.ask("CLIENT", "UNPAUSE")
    assert isinstance(met, DeadlineExceeded)
    assert met.outcome == "unknown"
    assert until(lambda: link.meet(GET(b"k")) == b"v")
    assert int(server.ask("GET", "n") or 0) in (0, 1)


def test_an_error_reply_says_that_nothing_was_applied(
    wire: MakeWire, server: Server
) -> None:
    server.ask("RPUSH", "list", "x")
    link = wire(server)
    met = link.meet(INCR(b"list"))
    assert isinstance(met, WrongType)
    assert met.outcome == "refused"
    replies = link.ask_all(INCR(b"n"), INCR(b"list"), INCR(b"n"))
    assert [replies.outcome(index) for index in range(3)] == [None, "refused", None]
    assert [replies[0], replies[2]] == [1, 2]
    assert link.link.breaker.failures == 0


def test_what_never_left_is_not_sent(wire: MakeWire) -> None:
    refused = wire(address=Tcp("127.0.0.1", free_port())).meet(WRITE())
    assert isinstance(refused, Unreachable)
    assert refused.outcome == "not_sent"

    def mumbles(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def hangs_up(peer: Peer) -> None:
        peer.read()

    def greets_wrongly(peer: Peer) -> None:
        peer.greet(b"$2\r\nhi\r\n")

    for script in (mumbles, hangs_up, greets_wrongly):
        with FakeServer(script) as server:
            met = wire(server).meet(WRITE())
            assert isinstance(met, Unavailable)
            assert met.outcome == "not_sent"
            assert server.accepted == (2 if script is hangs_up else 1)
    with FakeServer(hangs_up) as server:
        assert isinstance(wire(server).meet(WRITE()), Unreachable)
    with FakeServer(mumbles) as server:
        assert isinstance(wire(server).meet(WRITE()), ProtocolError)


def test_a_full_pool_is_not_sent(server: Server) -> None:
    from tests.colours import Colour

    link = Wire.to(
        Colour("sync"),
        address=Tcp(server.host, server.port),
        pool_size=2,
        deadline=0.1,
    )
    pool = link.link.blocking.pool
    taken = [pool.take(0)[0] for _ in range(2)]
    met = link.meet(INCR(b"n"))
    assert isinstance(met, PoolExhausted)
    assert met.outcome == "not_sent"
    assert link.link.breaker.failures == 0
    for connection in taken:
        pool.give_back(connection)
    assert link.ask(INCR(b"n")) == 1
    link.close()


def test_a_transaction_is_applied_whole_or_not_at_all(
    wire: MakeWire, server: Server
) -> None:
    server.ask("RPUSH", "list", "x")
    link = wire(server)
    good = link.ask_all(INCR(b"a"), SET(b"b", b"1"), GET(b"b"), atomic=True)
    assert good.check() == [1, b"OK", b"1"]
    # An error at run time is an item; the others are applied, as in Redis.
    mixed = link.ask_all(INCR(b"a"), INCR(b"list"), INCR(b"a"), atomic=True)
    assert [mixed[0], mixed[2]] == [2, 3]
    assert isinstance(mixed[1], WrongType)
    # One that is refused when it is queued refuses all.
    refused = link.ask_all(INCR(b"a"), INCR(), INCR(b"a"), atomic=True)
    assert [refused.outcome(index) for index in range(3)] == ["refused"] * 3
    assert all(isinstance(item, ServerError) for item in refused)
    assert int(server.ask("GET", "a")) == 3
    assert link.opened == 1


def test_a_transaction_cut_before_its_end_is_unknown(
    wire: MakeWire, server: Server
) -> None:
    whole = len(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:2\r\n")
    with Proxy((server.host, server.port)) as proxy:
        for count, cut in enumerate(range(0, whole, 3), 1):
            link = wire(proxy)
            link.ask(PING())
            proxy.cut_after(cut)
            replies = link.ask_all(INCR(b"n"), INCR(b"n"), atomic=True)
            proxy.heal()
            assert [replies.outcome(0), replies.outcome(1)] == ["unknown"] * 2
            assert int(server.ask("GET", "n")) == 2 * count


def test_a_transaction_whose_multi_was_refused_does_not_claim_to_be_undone(
    wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(acl=["user default on nopass ~* +@all -multi"])
    link = wire(server)
    replies = link.ask_all(INCR(b"n"), INCR(b"n"), atomic=True)
    applied = int(server.ask("GET", "n") or 0)
    outcomes = {replies.outcome(0), replies.outcome(1)}
    assert outcomes == ({"refused"} if applied == 0 else {"unknown"})
