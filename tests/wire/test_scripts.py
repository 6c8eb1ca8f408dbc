"""A script goes by its digest, and whole where the server does not know it."""

from __future__ import annotations

import pytest

from redpony.commands import ECHO, GET, Access, Lane, Repeat, Script, call
from redpony.errors import ServerError, Unavailable
from tests.hostile import FakeServer, Peer
from tests.servers import Server
from tests.wire.conftest import MakeWire
from tests.wire.links import INCR, WRITE

ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
READ_TWICE = Script("twice", "return {redis.call('GET', KEYS[1]), ARGV[1]}")
FAILS = Script("fails", "return redis.error_reply('ERR no')")
NOSCRIPT = b"-NOSCRIPT No matching script. Please use EVAL.\r\n"


@pytest.mark.parametrize("repeat", Repeat)
@pytest.mark.parametrize("access", Access)
def test_a_script_is_sent_whole_once(
    access: Access, repeat: Repeat, wire: MakeWire, server: Server
) -> None:
    link = wire(server)
    link.ask(INCR(b"warm"))
    command = call(ADD, (b"n",), (b"2",), access=access, repeat=repeat)
    with server.counting() as counted:
        assert [link.ask(command) for _ in range(4)] == [2, 4, 6, 8]
    assert counted.commands["evalsha"] == 4
    assert counted.commands["eval"] == 1
    assert counted.connections == 0


def test_a_forgotten_script_is_sent_again(wire: MakeWire, server: Server) -> None:
    link = wire(server)
    for count in range(1, 4):
        assert link.ask(call(ADD, (b"n",), (b"1",))) == count
        server.ask("SCRIPT", "FLUSH")


def test_forgotten_scripts_in_a_batch_are_sent_again(
    wire: MakeWire, server: Server
) -> None:
    link = wire(server)
    commands = [
        INCR(b"a"),
        call(ADD, (b"n",), (b"1",)),
        INCR(b"a"),
        call(READ_TWICE, (b"a",), (b"x",), access=Access.READ, repeat=Repeat.SAFE),
        call(FAILS, ()),
    ]
    for count in range(1, 4):
        server.ask("SCRIPT", "FLUSH")
        replies = link.ask_all(*commands)
        assert list(replies[:4]) == [
            2 * count - 1,
            count,
            2 * count,
            [b"%d" % (2 * count), b"x"],
        ]
        assert isinstance(replies[4], ServerError)
        assert replies.outcome(4) == "refused"


def test_scripts_in_a_transaction_go_whole(wire: MakeWire, server: Server) -> None:
    link = wire(server)
    server.ask("SCRIPT", "FLUSH")
    replies = link.ask_all(
        INCR(b"n"), call(ADD, (b"n",), (b"5",)), GET(b"n"), atomic=True
    )
    assert replies.check() == [1, 6, b"6"]


def test_a_batch_keeps_its_answers_when_sending_a_script_again_fails(
    wire: MakeWire,
) -> None:
    def forgets_and_ends(peer: Peer) -> None:
        peer.greet()
        peer.read()
        peer.send(b":1\r\n" + NOSCRIPT)
        peer.read()

    with FakeServer(forgets_and_ends) as server:
        link = wire(server)
        replies = link.ask_all(WRITE(b"x"), call(ADD, (b"n",), (b"1",)))
        assert replies[0] == 1
        assert isinstance(replies[1], Unavailable)
        assert replies.outcome(1) == "unknown"
        assert server.accepted == 1


def test_a_command_may_take_another_lane(wire: MakeWire, server: Server) -> None:
    link = wire(server)
    assert link.ask(ECHO.of((b"x",), lane=Lane.BULK)) == b"x"
    assert link.ask_all(ECHO.of((b"x",), lane=Lane.BULK), ECHO(b"y")).check() == [
        b"x",
        b"y",
    ]
    assert link.ask_all().check() == []
