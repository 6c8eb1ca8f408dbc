"""The address of a project's own server, which is started by asking for it."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from redpony import events
from redpony.embedded import locks, membership, server, talk
from redpony.embedded.membership import Membership
from redpony.embedded.state import State, locate, verify
from redpony.errors import Unavailable
from redpony.wire.config import Unix


@dataclass(slots=True)
class _Process:
    """What this process has joined, by state directory."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    joined: dict[Path, Membership] = field(default_factory=dict)
    known: set[Path] = field(default_factory=set)


_process = _Process()


@dataclass(frozen=True, slots=True)
class Embedded:
    """The server that belongs to `directory`; with `persist` it keeps its data.

    Equal ones are one server, in all processes of this user on this machine.
    """

    directory: str
    persist: bool = False

    def resolve(self) -> Unix:
        """Return the socket of the server; start or join it if need be.

        Call it each time before connecting. Once joined it asks the server
        nothing: it looks whether something listens, so that a server that was
        killed is started again. Raises `InvalidSetting` if there can be none
        here, and `Unavailable` if it does not come up.
        """
        state = locate(self.directory, persist=self.persist)
        deadline = time.monotonic() + server.START_SECONDS
        if not _process.turn.acquire(timeout=server.START_SECONDS):
            raise Unavailable("Another thread still waits for the embedded server.")
        try:
            news = _resolve(state, deadline)
        finally:
            _process.turn.release()
        for event in news:
            events.emit(event)
        return Unix(str(state.socket))

    def forget(self) -> None:
        """Look again at the next `resolve`, whatever seems to be there."""
        _process.known.discard(locate(self.directory, persist=self.persist).directory)

    def __str__(self) -> str:
        return "embedded"


def leave(embedded: Embedded) -> None:
    """Stop being a user before the process ends; joins again when asked to."""
    state = locate(embedded.directory, persist=embedded.persist)
    with _process.turn:
        _process.known.discard(state.directory)
        membership = _process.joined.pop(state.directory, None)
        if membership is not None:
            membership.end()


def stop(embedded: Embedded) -> bool:
    """End the server now, users or not; say whether there was one.

    Returns when it is gone. Who still uses it starts another by connecting.
    """
    state = locate(embedded.directory, persist=embedded.persist)
    try:
        verify(state.root)
        verify(state.directory)
    except FileNotFoundError:
        return False
    deadline = time.monotonic() + server.START_SECONDS
    with locks.held(state.start, deadline):
        if not (talk.listens(state.socket) or locks.is_held(state.supervisor)):
            return False
        server.end(state, deadline)
        state.socket.unlink(missing_ok=True)
    events.emit(events.Server("", "ended", "it was asked to"))
    return True


def _resolve(state: State, deadline: float) -> list[events.Server]:
    state.prepare()
    held = _process.joined.get(state.directory)
    holds = held is not None and held.holds(state.users)
    if (
        holds
        and state.directory in _process.known
        and talk.listens(state.socket)
        and locks.is_held(state.supervisor)
    ):
        return []
    if not holds:
        # The new lock first, so that the server is never without one of ours.
        # Asked before: the new file may get the number of a lost one.
        stale = held if held is not None and held.is_open() else None
        _process.joined[state.directory] = membership.enter(state, deadline)
        if stale is not None:
            stale.end()
    news = server.ensure(state, deadline)
    if holds and state.directory in _process.known and news[-1].change == "started":
        news.insert(0, events.Server("", "ended", "it was gone"))
    _process.known.add(state.directory)
    return news


def _after_fork() -> None:
    # Another thread may have held the lock; the open files are kept, they keep
    # the server until this process takes a lock of its own.
    _process.turn = threading.Lock()
    _process.known.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
