"""How a connection introduces itself, and what it says when it is turned away."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from redpony import events
from redpony.commands import BLPOP, GET, PING, SET
from redpony.errors import (
    AuthenticationFailed,
    CircuitOpen,
    InvalidSetting,
    Loading,
    NoPermission,
    RedponyError,
    Unreachable,
)
from redpony.wire.config import LinkConfig, Secret, Tcp
from redpony.wire.link import Link
from tests.hostile import HELLO, OK, FakeServer, Peer
from tests.servers import Server
from tests.wire.conftest import MakeWire
from tests.wire.links import (
    CLIENT_GETNAME,
    CLIENT_ID,
    HELD,
    INCR,
    READ,
    auntil,
    one,
    until,
    waiting,
)

PASSWORD = "a-password-that-nobody-prints"
OTHER = "another-password-that-nobody-prints"
UNKNOWN = b"-ERR unknown command 'HELLO', with args beginning with: '3'\r\n"


def assert_silent(error: BaseException, *more: object) -> None:
    """Nothing that is printed of an error, or of these objects, holds a secret."""
    printed = "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        printed += repr(link) + repr(link.args) + str(vars(link))
        link = link.__cause__ or link.__context__
    printed += "".join(repr(each) + str(each) for each in more)
    assert PASSWORD not in printed
    assert OTHER not in printed


def refuse(link: Any) -> RedponyError:
    met = link.meet(INCR(b"n"))
    assert isinstance(met, RedponyError)
    assert_silent(met, link.link, link.link.config, link.link.config.label)
    return met


# -- one flight -------------------------------------------------------------


def test_the_greeting_takes_one_flight(wire: MakeWire) -> None:
    told = []

    def answers_at_the_end(peer: Peer) -> None:
        for _ in range(5):
            told.append(peer.read())
        # Whoever waited for an answer in between would wait for ever.
        peer.send(HELLO + OK * 4)
        told.append(peer.read())
        peer.send(b":7\r\n")

    with FakeServer(answers_at_the_end) as server:
        link = wire(
            server,
            db=3,
            username="alice",
            password=Secret(PASSWORD),
            client_name="shop",
        )
        assert link.ask(READ(b"x")) == 7
    assert [command[:2] for command in told] == [
        [b"HELLO", b"3"],
        [b"CLIENT", b"SETINFO"],
        [b"CLIENT", b"SETINFO"],
        [b"CLIENT", b"SETNAME"],
        [b"SELECT", b"3"],
        [b"READ", b"x"],
    ]
    assert told[0][2:] == [b"AUTH", b"alice", PASSWORD.encode()]


def test_the_server_sees_who_we_are(wire: MakeWire, server: Server) -> None:
    link = wire(server, db=5, client_name="shop")
    link.ask(SET(b"k", b"v"))
    assert link.ask(CLIENT_GETNAME()) == b"shop"
    assert server.ask("GET", "k", db=5) == b"v"
    (seen,) = server.users()
    assert (seen["name"], seen["db"], seen["resp"]) == ("shop", "5", "3")
    if server.flavour == "valkey":
        assert seen["lib-name"] == "redpony"


def test_resp2_is_spoken_where_it_is_asked_for(wire: MakeWire, server: Server) -> None:
    link = wire(server, protocol=2, db=5)
    link.ask(SET(b"k", b"v"))
    (seen,) = server.users()
    assert (seen["resp"], seen["db"]) == ("2", "5")
    (connection,) = link.connections
    assert connection.features.protocol == 2
    assert connection.features.version >= (6, 2)


# -- what may be refused without harm ---------------------------------------


def test_an_old_server_is_spoken_to_in_resp2(wire: MakeWire) -> None:
    about = b"# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n"

    def old(peer: Peer) -> None:
        while True:
            word, *rest = peer.read()
            if word == b"HELLO":
                peer.send(UNKNOWN)
            elif word == b"INFO":
                peer.send(b"$%d\r\n%b\r\n" % (len(about), about))
            elif word == b"CLIENT":
                peer.send(b"-ERR Unknown subcommand or wrong number of arguments\r\n")
            else:
                told.append([word, *rest])
                peer.send(OK)

    told: list[list[bytes]] = []
    with FakeServer(old) as server:
        link = wire(server, password=Secret(PASSWORD), db=2, client_name="shop")
        assert link.ask(READ()) == b"OK"
        (connection,) = link.connections
        assert connection.features.version == (6, 2, 14)
        assert connection.features.protocol == 2
        assert server.accepted == 1
    # SELECT went twice: with HELLO in the first flight and with AUTH in the second.
    assert told[-4:] == [
        [b"AUTH", PASSWORD.encode()],
        [b"SELECT", b"2"],
        [b"ROLE"],
        [b"READ"],
    ]


@pytest.mark.parametrize(
    "forbidden", ["-client", "-client -info", "-info -config -command"]
)
@pytest.mark.parametrize("renamed", [(), ("HELLO",), ("HELLO", "CLIENT", "INFO")])
def test_what_is_forbidden_of_the_greeting_does_no_harm(
    forbidden: str, renamed: tuple[str, ...], wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(
        acl=[f"user alice on >{PASSWORD} ~* +@all {forbidden}", "user default off"],
        settings=[f'rename-command {name} ""' for name in renamed],
    )
    link = wire(
        server,
        username="alice",
        password=Secret(PASSWORD),
        client_name="shop",
        db=1,
        breaker_failures=1,
    )
    assert link.ask(INCR(b"n")) == 1
    assert server.ask("GET", "n", db=1) == b"1"
    (connection,) = link.connections
    assert connection.features.protocol == (2 if renamed else 3)


def test_resp2_answers_are_answers_all_the_same(wire: MakeWire, server: Server) -> None:
    from redpony.commands import HGETALL, HSET, SMEMBERS, ZSCORE

    server.ask("SADD", "set", "x")
    server.ask("ZADD", "zset", "1.5", "x")
    link = wire(server, protocol=2)
    link.ask(HSET(b"hash", b"a", b"1"))
    assert link.ask(HGETALL(b"hash")) == [b"a", b"1"]
    assert link.ask(SMEMBERS(b"set")) == [b"x"]
    assert link.ask(ZSCORE(b"zset", b"x")) == b"1.5"
    assert link.ask(GET(b"none")) is None


# -- what may not -----------------------------------------------------------


def test_a_wrong_password_is_named_and_not_shown(
    wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(password=PASSWORD)
    link = wire(server, password=Secret(OTHER))
    with server.counting() as counted:
        met = refuse(link)
    assert isinstance(met, AuthenticationFailed)
    assert met.outcome == "not_sent"
    assert "WRONGPASS" in str(met)
    assert 'OPTIONS["PASSWORD"]' in str(met)
    # Trying again would lock an account out.
    assert counted.commands["hello"] == 1
    assert wire(server, password=Secret(PASSWORD)).ask(INCR(b"n")) == 1


def test_refused_credentials_are_not_tried_by_every_request(
    wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(password=PASSWORD)
    link = wire(
        server, password=Secret(OTHER), breaker_failures=3, breaker_cooldown=60.0
    )
    with server.counting() as counted:
        met = [type(refuse(link)) for _ in range(10)]
    assert met == [AuthenticationFailed] * 3 + [CircuitOpen] * 7
    assert counted.commands["hello"] == 3


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_missing_password_is_asked_for(
    protocol: int, wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(password=PASSWORD)
    met = refuse(wire(server, protocol=protocol))
    assert isinstance(met, AuthenticationFailed)
    assert "asks for a password" in str(met)
    assert 'OPTIONS["PASSWORD"]' in str(met)


@pytest.mark.parametrize("protocol", [2, 3])
def test_an_acl_user_comes_in_with_his_password_only(
    protocol: int, wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(acl=[f"user alice on >{PASSWORD} ~* +@all"])
    link = wire(server, username="alice", password=Secret(PASSWORD), protocol=protocol)
    assert link.ask(INCR(b"n")) == 1
    assert server.users()[0]["user"] == "alice"
    wrong = wire(server, username="alice", password=Secret(OTHER), protocol=protocol)
    met = refuse(wrong)
    assert isinstance(met, AuthenticationFailed)
    assert "'alice'" in str(met)


def test_a_forbidden_command_costs_no_connection(
    wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(acl=[f"user alice on >{PASSWORD} ~mine:* +@all -incr"])
    link = wire(server, username="alice", password=Secret(PASSWORD))
    for command in (INCR(b"mine:n"), GET(b"other")):
        met = link.meet(command)
        assert isinstance(met, NoPermission)
        assert met.outcome == "refused"
        assert_silent(met)
    with server.counting() as counted:
        link.ask(SET(b"mine:k", b"v"))
    assert counted.connections == 0
    assert link.link.breaker.failures == 0


def test_rights_that_are_taken_away_are_missed_at_once(
    wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(acl=[f"user alice on >{PASSWORD} ~* +@all"])
    link = wire(
        server, username="alice", password=Secret(PASSWORD), breaker_failures=100
    )
    link.ask(INCR(b"n"))
    server.ask("ACL", "SETUSER", "alice", "-incr")
    assert isinstance(link.meet(INCR(b"n")), NoPermission)
    server.ask("ACL", "DELUSER", "alice")  # which ends her connections, too
    until(lambda: isinstance(link.meet(INCR(b"n")), AuthenticationFailed))
    assert_silent(link.meet(INCR(b"n")))


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_database_that_there_is_not_is_a_setting_to_mend(
    protocol: int, wire: MakeWire, server: Server
) -> None:
    met = refuse(wire(server, db=99, protocol=protocol))
    assert isinstance(met, InvalidSetting)
    assert "no database 99" in str(met)
    assert "LOCATION" in str(met)
    until(lambda: server.users() == [])


@pytest.mark.parametrize("version", ["5.0.14", "6.0.16", "3.2.12"])
def test_a_server_that_is_too_old_is_named(version: str, wire: MakeWire) -> None:
    about = f"redis_version:{version}\r\n".encode()

    def old(peer: Peer) -> None:
        while True:
            word = peer.read()[0]
            if word == b"HELLO":
                peer.send(UNKNOWN)
            elif word == b"INFO":
                peer.send(b"$%d\r\n%b\r\n" % (len(about), about))
            else:
                peer.send(OK)

    with FakeServer(old) as server:
        met = refuse(wire(server))
    assert isinstance(met, InvalidSetting)
    assert version in str(met)
    assert "too old" in str(met)


def test_a_greeting_may_say_that_the_server_is_too_old(wire: MakeWire) -> None:
    def old(peer: Peer) -> None:
        peer.greet(HELLO.replace(b"7.0.15", b"6.0.99"))

    with FakeServer(old) as server:
        met = refuse(wire(server))
    assert isinstance(met, InvalidSetting)


def test_a_valkey_is_judged_by_its_own_version(wire: MakeWire) -> None:
    def young(peer: Peer) -> None:
        peer.greet(HELLO.replace(b"+redis", b"+valkey").replace(b"7.0.15", b"9.1.2"))
        peer.send(b":7\r\n")
        peer.silence()

    with FakeServer(young) as server:
        link = wire(server)
        assert link.ask(READ()) == 7
        features = link.connections[0].features
        assert features.server == "valkey"
        assert features.at_least((99,), (9, 1))
        assert not features.at_least((7,), (9, 2))
        assert not features.at_least((7,), None)


# -- a server that is starting ----------------------------------------------


def test_loading_is_no_failure_of_the_node(wire: MakeWire) -> None:
    reply = b"-LOADING Redis is loading the dataset in memory\r\n"

    def loads(peer: Peer) -> None:
        if peer.number == 0:
            peer.read()
            peer.send(reply * 3)  # to the greeting
            peer.silence()
        for answer in (reply, reply, b":7\r\n"):
            peer.greet()
            peer.send(answer)
        peer.silence()

    with FakeServer(loads) as server:
        link = wire(server, breaker_failures=1)
        for _ in range(3):
            assert isinstance(link.meet(INCR(b"n")), Loading)
        assert link.ask(INCR(b"n")) == 7
        assert server.accepted == 2
        assert link.link.breaker.state == "closed"


def test_a_real_server_that_loads_is_waited_for(
    wire: MakeWire, cold_server: Any
) -> None:
    server = cold_server(
        settings=["key-load-delay 300", "loading-process-events-interval-bytes 1024"]
    )
    with server.client() as client:
        client.mset({f"key:{number}": "x" * 20 for number in range(3000)})
        client.save()
    link = wire(server, breaker_failures=10**6)
    assert link.ask(GET(b"key:7")) == b"x" * 20
    thread = threading.Thread(target=server.restart)
    thread.start()
    met = set()
    while link.meet(GET(b"key:7")) == b"x" * 20:
        pass
    while (reply := link.meet(GET(b"key:7"))) != b"x" * 20:
        met.add(type(reply))
        time.sleep(0.01)
    thread.join()
    assert Loading in met
    assert met <= {Loading, Unreachable}


# -- credentials that change ------------------------------------------------


class Provider:
    """redis-py's `StreamingCredentialProvider`, as far as it goes."""

    def __init__(self, *credentials: str) -> None:
        self.credentials = credentials
        self.asked = 0
        self._callback: Callable[[Any], None] | None = None

    def get_credentials(self) -> Any:
        self.asked += 1
        return self.credentials

    def is_streaming(self) -> bool:
        return True

    def on_next(self, callback: Callable[[Any], None]) -> None:
        self._callback = callback

    def push(self, token: Any) -> None:
        assert self._callback is not None
        # The identity provider's thread, not ours.
        thread = threading.Thread(target=self._callback, args=(token,))
        thread.start()
        thread.join()


class Token:
    """redis-py's `TokenInterface`."""

    def __init__(self, user: str | None, value: str) -> None:
        self.user, self.value = user, value

    def try_get(self, key: str) -> str | None:
        return self.user if key == "oid" else None

    def get_value(self) -> str:
        return self.value


@pytest.fixture
def guarded(cold_server: Any) -> Server:
    server: Server = cold_server(
        acl=[f"user alice on >{PASSWORD} >{OTHER} ~* +@all", "user default off"]
    )
    return server


class Plain:
    """redis-py's `CredentialProvider`."""

    def __init__(self, *credentials: str) -> None:
        self.credentials = credentials

    def get_credentials(self) -> Any:
        return self.credentials


def test_a_provider_is_asked_for_each_connection(
    wire: MakeWire, guarded: Server
) -> None:
    provider = Plain("alice", "no longer right")
    link = wire(guarded, credential_provider=provider)
    assert isinstance(refuse(link), AuthenticationFailed)
    provider.credentials = ("alice", PASSWORD)
    assert link.ask(INCR(b"n")) == 1


@pytest.mark.parametrize(
    "token", [("alice", OTHER), Token("alice", OTHER)], ids=["tuple", "token"]
)
def test_new_credentials_are_shown_in_band(
    token: Any, wire: MakeWire, guarded: Server
) -> None:
    provider = Provider("alice", PASSWORD)
    link = wire(guarded, credential_provider=provider)
    before = link.ask(CLIENT_ID())
    provider.push(token)
    with guarded.counting() as counted:
        for _ in range(3):
            assert link.ask(CLIENT_ID()) == before
    assert counted.connections == 0
    assert counted.commands["auth"] == 1
    assert provider.asked == 1
    # It was the new password that was shown: the old one could go.
    guarded.ask("ACL", "SETUSER", "alice", f"<{PASSWORD}")
    assert link.ask(CLIENT_ID()) == before


def test_new_credentials_reach_every_connection_of_the_pool(guarded: Server) -> None:
    provider = Provider("alice", PASSWORD)
    link = Link(
        LinkConfig(Tcp(guarded.host, guarded.port), credential_provider=provider)
    )
    pool = link.blocking.pool
    taken = [pool.take(0)[0] for _ in range(5)]
    for connection in taken:
        pool.give_back(connection)
    provider.push(("alice", OTHER))
    with guarded.counting() as counted:
        threads = [
            threading.Thread(
                target=link.run, args=(one(HELD(b"q", b"0.1", timeout=5)),)
            )
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted.connections == 0
    assert counted.commands["auth"] == 5
    link.close()


def test_refused_new_credentials_end_the_connection_and_are_not_shown(
    wire: MakeWire, guarded: Server
) -> None:
    provider = Provider("alice", PASSWORD)
    link = wire(guarded, credential_provider=provider)
    link.ask(INCR(b"n"))
    secret = PASSWORD + "-but-wrong"
    provider.push(("alice", secret))
    for _ in range(3):
        met = link.meet(INCR(b"n"))
        if isinstance(met, RedponyError):
            assert_silent(met, link.link)
    # The provider's own credentials are right.
    assert isinstance(until(lambda: link.meet(INCR(b"n"))), int)


def test_new_credentials_do_not_disturb_who_blocks(guarded: Server) -> None:
    provider = Provider("alice", PASSWORD)
    link = Link(
        LinkConfig(
            Tcp(guarded.host, guarded.port),
            credential_provider=provider,
            connect_timeout=0.1,
        )
    )

    async def work() -> None:
        task = asyncio.ensure_future(link.arun(waiting(BLPOP(b"q", b"0"), 10)))
        await auntil(lambda: any(each["cmd"] == "blpop" for each in guarded.users()))
        provider.push(("alice", OTHER))
        # Longer than an AUTH behind it would be waited for.
        await asyncio.sleep(0.4)
        assert await link.arun(one(PING())) == b"PONG"
        guarded.ask("RPUSH", "q", "x")
        assert await task == [b"q", b"x"]
        # With old credentials it is not used for another wait.
        guarded.ask("RPUSH", "q", "y")
        assert await link.arun(waiting(BLPOP(b"q", b"0"), 10)) == [b"q", b"y"]

    with guarded.counting() as counted:
        asyncio.run(work())
    assert counted.commands["hello"] == 3
    assert link.breaker.failures == 0


def test_a_slow_provider_does_not_hold_the_loop(guarded: Server) -> None:
    class Slow(Plain):
        def get_credentials(self) -> Any:
            time.sleep(0.2)
            return super().get_credentials()

    link = Link(
        LinkConfig(
            Tcp(guarded.host, guarded.port),
            credential_provider=Slow("alice", PASSWORD),
            connect_timeout=5.0,
        )
    )

    async def work() -> int:
        task = asyncio.ensure_future(link.arun(one(PING())))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.005)
            turns += 1
        assert await task == b"PONG"
        return turns

    assert asyncio.run(work()) > 5


def test_no_event_holds_a_secret(wire: MakeWire, cold_server: Any) -> None:
    server = cold_server(password=PASSWORD)
    told: list[events.Event] = []
    unsubscribe = events.subscribe(told.append)
    try:
        wire(server, password=Secret(PASSWORD)).ask(INCR(b"n"))
        refuse(wire(server, password=Secret(OTHER), breaker_failures=1))
        refuse(wire(server, breaker_failures=1))
    finally:
        unsubscribe()
    assert told
    for event in told:
        assert PASSWORD not in repr(event)
        assert OTHER not in repr(event)
