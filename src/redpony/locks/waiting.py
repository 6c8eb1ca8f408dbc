"""What latches, events and barriers have in common: waiting for a word from the server.

Each waiter has a token and a mailbox. It asks, waits for its mailbox, and asks again
once a second, which is its sign of life, and finds what got lost. What a token was told
is kept for 15 s: whoever asks again within that time is told the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from redpony.alias import Alias
from redpony.commands import BLPOP, Access, Command, Repeat, call
from redpony.errors import (
    NoPermission,
    ReadOnly,
    ServerError,
    Unavailable,
    UnknownCommand,
)
from redpony.locks.contending import PATIENCE
from redpony.locks.running import Running, alias_of
from redpony.locks.terms import SLICE, own_key
from redpony.plan import Plan, Sleep, Wait
from redpony.scripts import script

monotonic = time.monotonic

PAUSE: Final = 0.1
"""Seconds between two tries at a server that cannot be asked."""


class Waiting(Running):
    """Something under a name that one waits for with others."""

    kind: str
    """What its keys and messages call it."""

    def __init__(
        self, name: str, ttl: float | timedelta, using: str | Alias | None
    ) -> None:
        self.name = name
        self.alias = alias_of(using)
        self.ttl = b"%d" % (seconds_of(self.kind, "ttl", ttl) * 1000)
        prefix = self.alias.config.key_prefix
        key = own_key(prefix, name, self.kind)
        self.keys = (key, own_key(prefix, name, f"{self.kind}-waiting"))
        self._mailboxes = f"{own_key(prefix, name, f'{self.kind}-wake')}:".encode()

    def _call(
        self, name: str, token: bytes, *args: bytes, access: Access = Access.WRITE
    ) -> Command:
        return call(
            script(name),
            self.keys,
            (token, self._mailboxes, *args),
            access=access,
            repeat=Repeat.SAFE,
        )

    def _hear(
        self, token: bytes, ends: float | None, ask: Callable[[bool], Command]
    ) -> Plan[list[Any]]:
        """Ask until the answer is not 0, or the time is over; return the last one.

        `ask` is told whether it is for the last time.
        """
        trouble: float | None = None
        has_asked = False
        while True:
            now = monotonic()
            is_last = ends is not None and now >= ends
            try:
                reply: list[Any] = yield ask(is_last)
            except (Unavailable, ReadOnly):
                trouble = trouble or now
                bears = PATIENCE if ends is None else ends - trouble
                if is_last or not has_asked or now - trouble >= bears:
                    raise
                yield Sleep(PAUSE)
                continue
            trouble, has_asked = None, True
            if reply[0] != 0 or is_last:
                return reply
            waits = SLICE if ends is None else min(SLICE, ends - monotonic())
            if waits <= 0:
                continue
            message = BLPOP(self._mailboxes + token, b"%.3f" % max(waits, 0.001))
            try:
                found = yield Wait(message, waits, exact=waits < SLICE)
            except (NoPermission, UnknownCommand):
                raise
            except (Unavailable, ServerError):
                # The server was replaced, or has no connection to spare: ask again.
                yield Sleep(PAUSE)
                continue
            if found is not None:
                return [1, found[1]]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def ends_of(kind: str, timeout: Any) -> float | None:
    """Return when a timeout is over; None for never."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(
            f"timeout of a {kind} must be a number of seconds or None, not {timeout!r}"
        )
    if math.isnan(timeout):
        raise ValueError(f"timeout of a {kind} must be a number, not {timeout!r}")
    return None if timeout == math.inf else monotonic() + max(timeout, 0)


def seconds_of(kind: str, name: str, value: Any) -> float:
    """Return an argument as seconds; raises an error that names it."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(
            f"{name} of a {kind} must be a number of seconds or a timedelta, "
            f"not {value!r}"
        )
    if not 0.001 <= seconds < math.inf:
        raise ValueError(f"{name} of a {kind} must be at least 0.001 s, not {value!r}")
    return float(seconds)


def whole(kind: str, name: str, value: Any) -> int:
    """Return an argument that is a whole number from 1; raises one that names it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} of a {kind} must be 1 or more, not {value!r}")
    return value
