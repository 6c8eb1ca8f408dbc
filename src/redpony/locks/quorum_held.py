"""A lock that one has on most of several servers.

It is a lease on each of them, renewed by the watchdog on its own, and so all of it is
surely ours for as long as the shortest lease of the best majority lasts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import ref

from redpony.commands import Command
from redpony.errors import RedponyError, Unavailable
from redpony.leases import Lease, keep
from redpony.locks.gate import Gate
from redpony.locks.held import Held
from redpony.locks.majority import Majority, is_error
from redpony.plan import Plan

if TYPE_CHECKING:
    from typing import Any

    from redpony.locks.quorum import QuorumLock

monotonic = time.monotonic


def drift(seconds: float) -> float:
    """Return by how much servers' clocks may be ahead of ours after some seconds."""
    return seconds / 100 + 0.002


class Share(Lease):
    """What one of the servers has granted."""

    def __init__(self, held: QuorumHeld, number: int, until: float) -> None:
        servers = held.majority
        self.link = servers.links[number]
        self.name = held.name
        self.seconds = held.seconds
        self.until = until
        self.ends = held.ends
        self.number = number
        self._terms = servers.each[number]
        self._token = held.token
        self._held = ref(held)

    def renewal(self, milliseconds: int) -> Command:
        return self._terms.extend(self._token, milliseconds)

    def lose(self, reason: str) -> None:
        super().lose(reason)
        held = self._held()
        if held is not None:
            held.count_again()


class QuorumHeld(Held):
    """One holding of a `QuorumLock`: a `Held` whose `until` is that of a majority.

    It is lost as soon as fewer than a majority of the servers have it.
    """

    shares: tuple[Share, ...] = ()
    majority: Majority

    def __init__(
        self,
        lock: QuorumLock,
        gate: Gate,
        token: bytes,
        fence: int,
        asked: float,
        owner: ref[Any],
        servers: Iterable[int],
    ) -> None:
        seconds = lock.timeout or lock.lease
        self.majority = lock.terms
        self._drift = drift(seconds)
        super().__init__(lock, gate, token, fence, asked, seconds, owner)
        until = asked + seconds
        self.shares = tuple(Share(self, number, until) for number in servers)

    def keep(self) -> None:
        """Have the watchdog look after it, and after each share."""
        for share in self.shares:
            keep(share)
        keep(self)

    @property
    def until(self) -> float:
        """Up to when a majority is surely ours, by this process' clock."""
        ends = [share.until for share in self.shares if not share.is_lost]
        ends.sort(reverse=True)
        needed = self.majority.needed
        return ends[needed - 1] - self._drift if len(ends) >= needed else 0.0

    @until.setter
    def until(self, value: float) -> None:
        for share in self.shares:
            share.until = value

    def is_due(self, now: float) -> bool:
        return False  # its shares are

    def count_again(self) -> None:
        """See whether there still is a majority."""
        living = sum(not share.is_lost for share in self.shares)
        if living < self.majority.needed:
            self.lose(f"only {living} of {len(self.majority.links)} servers have it")

    def end(self) -> None:
        super().end()
        for share in self.shares:
            share.end()

    def lose(self, reason: str) -> None:
        super().lose(reason)
        for share in self.shares:
            share.end()

    def _set(self, ends: float) -> Plan[None]:
        if self.remaining <= 0:
            raise self.gone()
        span = ends - monotonic()
        milliseconds = max(int(span * 1000), 1)
        shares = {each.number: each for each in self.shares if not each.is_lost}
        token = self.token
        replies = yield from self.majority.ask(
            lambda terms: terms.extend(token, milliseconds), shares
        )
        self._drift = max(self._drift, drift(span))
        for number, share in shares.items():
            if replies[number] == 1:
                share.until = ends
                if share.ends is not None:
                    share.ends = ends
            elif not is_error(replies[number]):
                share.lose("somebody else has ended it")
        if self.remaining <= 0:
            raise self.gone()
        done = sum(reply == 1 for reply in replies.values())
        if done < self.majority.needed:
            self.majority.check(replies)
            raise Unavailable(
                f"The lock {self.name!r} could be extended on {done} of "
                f"{len(self.majority.links)} servers: it ends when it would have",
                outcome="unknown",
            )
        if self.ends is not None:
            self.ends = ends

    def giving_back(self, met: RedponyError | None = None) -> Plan[None]:
        """Give it back to every server. One round trip.

        Raises `LockNotOwned` where a majority has not had it any more, and
        `Unavailable` where so many cannot be asked that nobody can have it before the
        lease is over.
        """
        if self.is_parents:
            raise self.gone()
        servers, token = self.majority, self.token
        was_lost = self.stands <= 0
        self.end()
        try:
            replies = yield from servers.ask(lambda each: each.release(token, b"", 0.0))
        except BaseException:
            servers.undo(token)
            raise
        finally:
            self.gate.freed(self)
        silent = [number for number, reply in replies.items() if is_error(reply)]
        servers.undo(token, silent)
        given = sum(reply == 1 for reply in replies.values())
        if was_lost or given + len(silent) < servers.needed:
            raise self.gone()
        if given < servers.needed:
            raise Unavailable(
                f"The lock {self.name!r} was given back on {given} of "
                f"{len(servers.links)} servers; the others did not answer, and have it "
                f"until its lease is over ({', '.join(self._labels(silent))})",
                outcome="unknown",
            )

    def _labels(self, numbers: list[int]) -> list[str]:
        return [self.majority.links[number].label for number in numbers]
