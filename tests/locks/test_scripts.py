"""The scripts of locks and semaphores, one at a time, in each state of a line.

Sent twice, done once (I7): a network may deliver a command twice, and a client that
got no answer sends it again. The second one finds what the first one made, and leaves
the server as it is, but for how long things last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redpony.commands import Command
from redpony.locks.shares import Shares
from redpony.locks.terms import Exclusive, Terms
from redpony.locks.tokens import new_token
from tests.servers import Server

LEASE = 20_000
ALIVE = 3.0


class Stage:
    """A lock or semaphore on a server, and those who want it."""

    def __init__(self, server: Server, link: Any, terms: Terms) -> None:
        self.server = server
        self.link = link
        self.terms = terms
        self.me, self.other, self.third = (new_token(None, terms.weight) for _ in "123")

    def do(self, command: Command) -> Any:
        return self.link.blocking.ask(command)

    def take(self, token: bytes, *, waits: bool = True) -> Any:
        alive = ALIVE if waits else 0
        return self.do(self.terms.acquire(token, LEASE, alive, 0))

    def give_back(self, token: bytes) -> Any:
        return self.do(self.terms.release(token, b"", 0))

    def state(self) -> dict[bytes, Any]:
        """Return all there is, but for times and fences; who is in line, in order."""
        found: dict[bytes, Any] = {}
        for key in list(self.server.keys()):
            if key.endswith(b":fence"):
                continue
            kind = self.server.ask("TYPE", key)
            if kind == b"zset":
                found[key] = self.server.ask("ZRANGE", key, 0, -1)
                if key.endswith(b":alive"):
                    found[key] = sorted(found[key])
            elif kind == b"list":
                # What is in a mailbox is one's fence.
                found[key] = len(self.server.ask("LRANGE", key, 0, -1))
            else:
                found[key] = self.server.ask("GET", key)
        return found


def nobody(stage: Stage) -> None: ...
def mine(stage: Stage) -> None:
    stage.take(stage.me)


def others(stage: Stage) -> None:
    stage.take(stage.other)


def in_line(stage: Stage) -> None:
    others(stage)
    stage.take(stage.me)
    stage.take(stage.third)


def second_in_line(stage: Stage) -> None:
    others(stage)
    stage.take(stage.third)
    stage.take(stage.me)


def mine_with_a_line(stage: Stage) -> None:
    mine(stage)
    stage.take(stage.other)
    stage.take(stage.third)


def handed_over(stage: Stage) -> None:
    in_line(stage)
    stage.give_back(stage.other)


STATES = [
    nobody, mine, others, in_line, second_in_line, mine_with_a_line, handed_over,
]  # fmt: skip

COMMANDS: dict[str, Callable[[Stage], Command]] = {
    "acquire": lambda stage: stage.terms.acquire(stage.me, LEASE, ALIVE, 0),
    "try": lambda stage: stage.terms.acquire(stage.me, LEASE, 0, 0),
    "release": lambda stage: stage.terms.release(stage.me, b"", 0),
    "pass on": lambda stage: stage.terms.release(stage.me, stage.third, 0.0),
    "cancel": lambda stage: stage.terms.cancel(stage.me),
    "extend": lambda stage: stage.terms.extend(stage.me, LEASE),
}


@pytest.fixture(params=["lock", "semaphore"])
def stage(request: pytest.FixtureRequest, cache_on: Any, server: Server) -> Stage:
    link = cache_on(server).alias.link
    terms: Terms = Exclusive("job")
    if request.param == "semaphore":
        terms = Shares("redpony{:job}:semaphore", 2, 2)
    return Stage(server, link, terms)


@pytest.mark.forms("single")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", STATES)
def test_a_command_that_comes_twice_is_done_once(
    stage: Stage, state: Callable[[Stage], None], command: str
) -> None:
    state(stage)
    asked = COMMANDS[command](stage)
    first = stage.do(asked)
    once = stage.state()
    second = stage.do(asked)
    assert stage.state() == once
    if asked.kind.safe:
        assert _meaning(first) == _meaning(second)


def _meaning(reply: Any) -> Any:
    """1: has it, or has done it; 0: not; 2: passed on; 3: passed by."""
    if isinstance(reply, list):
        return 2 if int(reply[0]) > A_FENCE else 0
    return 1 if reply > A_FENCE else reply


A_FENCE = 10**12
"""Smaller than any fence, and larger than any other answer."""


@pytest.mark.forms("single")
@pytest.mark.parametrize("state", STATES)
def test_who_withdraws_is_nowhere(stage: Stage, state: Callable[[Stage], None]) -> None:
    """In the lock, in its line, among the living, in a mailbox (I8)."""
    state(stage)
    stage.do(stage.terms.cancel(stage.me))
    for key, value in stage.state().items():
        assert stage.me not in key
        assert stage.me not in (value if isinstance(value, list) else [value])


@pytest.mark.forms("single")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", ["release", "pass on", "extend"])
def test_who_has_not_got_it_changes_nothing(
    stage: Stage, state: Callable[[Stage], None], command: str
) -> None:
    """A token that was never given neither gives back nor prolongs (I13)."""
    state(stage)
    before = stage.state()
    stage.me, known = new_token(None, stage.terms.weight), stage.me
    asked = COMMANDS[command](stage)
    stage.me = known
    assert not (reply := _meaning(stage.do(asked))) or reply == 2
    assert stage.state() == before


@pytest.mark.forms("single")
def test_a_sign_of_life_keeps_ones_place(stage: Stage) -> None:
    second_in_line(stage)
    line = [value for key, value in stage.state().items() if key.endswith(b":queue")]
    assert line == [[stage.third, stage.me]]
    stage.take(stage.me)
    stage.take(stage.third)
    assert line == [
        value for key, value in stage.state().items() if key.endswith(b":queue")
    ]


@pytest.mark.forms("single")
@pytest.mark.parametrize("state", STATES)
def test_nothing_is_without_an_end(
    stage: Stage, state: Callable[[Stage], None]
) -> None:
    """Whoever dies now leaves nothing behind for good (I9)."""
    state(stage)
    for key in list(stage.server.keys()):
        assert stage.server.ask("PTTL", key) > 0, key


@pytest.mark.forms("single")
def test_a_newcomer_does_not_pass_by_a_line(stage: Stage) -> None:
    """Not even where the holder is gone, and nobody in line has noticed."""
    in_line(stage)
    stage.server.ask("DEL", stage.terms.keys[0])
    newcomer = new_token(None, stage.terms.weight)
    assert _meaning(stage.take(newcomer, waits=False)) == 0
    assert _meaning(stage.take(newcomer)) == 0
    assert _meaning(stage.take(stage.third)) == 0
    assert _meaning(stage.take(stage.me)) == 1


@pytest.mark.forms("single")
@pytest.mark.parametrize("how", ["release", "cancel"])
def test_the_dead_in_line_are_passed_by(stage: Stage, how: str) -> None:
    """Who has given no sign of life in time is granted nothing."""
    others(stage)
    stage.do(stage.terms.acquire(stage.me, LEASE, ALIVE, 0))
    stage.take(stage.third)
    alive = next(key for key in list(stage.server.keys()) if key.endswith(b":alive"))
    stage.server.ask("ZADD", alive, 1, stage.me)
    stage.do(COMMANDS[how](_as(stage, stage.other)))
    assert _meaning(stage.take(stage.third, waits=False)) == 1


def _as(stage: Stage, token: bytes) -> Stage:
    other = Stage(stage.server, stage.link, stage.terms)
    other.me = token
    return other


@pytest.mark.forms("single")
def test_a_lock_that_is_given_back_is_handed_over_at_once(stage: Stage) -> None:
    """The same command puts it in the mailbox of who is first: no wake-up is lost."""
    in_line(stage)
    stage.give_back(stage.other)
    state = stage.state()
    assert state[stage.terms.mailboxes + stage.me] == 1
    held = state[str(stage.terms.keys[0]).encode()]
    assert held in (stage.me, [stage.me])


@pytest.mark.forms("single")
def test_who_comes_in_together_has_fences_apart(cache_on: Any, server: Server) -> None:
    """Who notices that there is room lets in others, too: his fence is his own."""
    link = cache_on(server).alias.link
    terms = Shares("redpony{:job}:semaphore", 2, 2)
    stage = Stage(server, link, terms)
    others(stage)
    light = Shares("redpony{:job}:semaphore", 2)
    first, second = (new_token(None) for _ in "12")
    for token in (first, second):
        assert _meaning(link.blocking.ask(light.acquire(token, LEASE, ALIVE, 0))) == 0
    for key in terms.keys[0], terms.keys[-1]:
        server.ask("DEL", key)
    mine = link.blocking.ask(light.acquire(first, LEASE, ALIVE, 0))
    theirs = server.ask("LRANGE", light.mailboxes + second, 0, -1)
    assert _meaning(mine) == 1
    assert [mine] < [int(fence) for fence in theirs]
    assert first not in b" ".join(server.keys())
