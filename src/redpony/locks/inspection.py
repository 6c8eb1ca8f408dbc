"""What the server knows of a lock: who has it, who waits for it, and since when.

It is a look at one moment. A line holds one waiter a process: who waits behind it there
is known to that process alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from redpony.commands import Command, Repeat, call
from redpony.locks import tokens
from redpony.locks.running import Running
from redpony.locks.terms import Terms
from redpony.plan import Plan, both
from redpony.scripts import script

KINDS: Final = {"lock": "lock", "semaphore": "semaphore", "rw": "read-write lock"}
"""What is locked, by the room of its keys."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody's token, and what it tells of him.

    `host` and `pid` are None where another package made the token.
    """

    token: str
    host: str | None
    pid: int | None
    weight: int
    raw: bytes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Holder(Party):
    """Who has a lock, or places of a semaphore."""

    remaining: float | None
    """Seconds its lease has left, None where it has no end."""


@dataclass(frozen=True, slots=True)
class Waiter(Party):
    """Who waits; `waited` is in seconds.

    One that is not `alive` has given no sign of life for three seconds, and is passed
    over.
    """

    waited: float
    alive: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """A lock, semaphore or read-write lock as it was a moment ago.

    `waiters` are in the order of their turn. `fence` is the last one that was given,
    None where there was none within a day.
    """

    kind: str
    name: str
    key: str
    holders: tuple[Holder, ...]
    fence: int | None
    waiters: tuple[Waiter, ...]

    @property
    def holder(self) -> Holder | None:
        """Who has it, or the first of several whose time will be over; None: nobody."""
        return self.holders[0] if self.holders else None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody has it, or waits for it and is alive."""
        return bool(self.holders) or any(each.alive for each in self.waiters)

    @property
    def is_known(self) -> bool:
        """Whether there is anything of it on the server."""
        return bool(self.holders or self.waiters or self.fence is not None)


def look(terms: Terms) -> Command:
    """Return the command that asks how things stand; it changes nothing.

    For the primary: a replica may be behind.
    """
    which = script("semaphore_look" if terms.shared else "lock_look")
    return call(which, terms.keys[:4], repeat=Repeat.SAFE)


def seen(reply: Any, terms: Terms, kind: str, name: str) -> Inspection:
    """Return what the answer to `look` says."""
    holders, fence, waiters = reply
    key = terms.keys[0]
    return Inspection(
        kind=kind,
        name=name,
        key=key if isinstance(key, str) else key.decode(),
        holders=tuple(
            Holder(*_party(token), None if left < 0 else left / 1000)
            for token, left in _rows(holders, 2)
        ),
        fence=int(fence) if fence else None,
        waiters=tuple(
            Waiter(*_party(token), max(waited / 1_000_000, 0.0), alive >= 0)
            for token, waited, alive in _rows(waiters, 3)
        ),
    )


def evicting(terms: Terms, holders: tuple[Holder, ...]) -> Plan[tuple[Holder, ...]]:
    """End holdings; return those that were ended. One round trip each."""
    lost: list[Holder] = []
    for holder in holders:
        if (yield terms.cancel(holder.raw)):
            lost.append(holder)  # noqa: PERF401 (no comprehension may yield)
    return tuple(lost)


class Inspectable(Running):
    """What can be looked at from outside, and taken from whoever has it."""

    kind: str
    terms: Any

    def _inspect(self) -> Plan[Inspection]:
        """Return who has it and who waits for it, as the server knows. One round trip.

        See `redpony.locks.inspection.Inspection`.
        """
        terms: Terms = self.terms
        return seen((yield look(terms)), terms, kind_of(terms), self.name)

    inspect, ainspect = both(_inspect)

    def _evict(self, token: str | None = None) -> Plan[tuple[Holder, ...]]:
        """Take it from whoever has it, and wake who comes next; return who lost it.

        `token` names one of several holders. One round trip, and one for each of them.
        Whoever lost it may still be at work: it learns of that when it renews its lease
        (after a third of it), or gives back. Only a fence keeps its writes out.
        """
        terms: Terms = self.terms
        found = seen((yield look(terms)), terms, kind_of(terms), self.name)
        chosen = tuple(each for each in found.holders if token in (None, each.token))
        return (yield from evicting(terms, chosen))

    evict, aevict = both(_evict)


def kind_of(terms: Terms) -> str:
    """Return what is locked: one of `KINDS`."""
    if not terms.shared:
        return KINDS["lock"]
    return KINDS[terms.line.partition("}:")[2].partition(":")[0]]


def _party(token: bytes) -> tuple[str, str | None, int | None, int, bytes]:
    if token.startswith(b"rn."):
        token = token.removesuffix(b"+")  # others wait: see the script _lock
    host, pid, weight = tokens.maker_of(token)
    return token.decode(errors="backslashreplace"), host, pid, weight, token


def _rows(flat: list[Any], width: int) -> Iterator[tuple[Any, ...]]:
    return zip(*[iter(flat)] * width, strict=True)
