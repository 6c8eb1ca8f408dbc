"""A circuit breaker per node: after a few failures, leave it alone for a while.

Closed: everything passes. After `failures` failures in a row it opens: callers
get `CircuitOpen` at once, without a socket. After a cool-down one caller is let
through as the probe (half-open); its success closes the breaker, its failure
opens it again for twice as long, at most `LONGEST` seconds (or as long as it was told). A probe that never
reports back (its thread was interrupted) loses its privilege after another
cool-down: the state rests on times, never on a release.

A refused connection takes no time: such a node is looked at ten times as often, and
no less often the longer it is gone.

Only what says something about the node counts: refused and lost connections and
silence. A full pool, an error reply or a stalled event loop does not.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from redpony import events
from redpony.errors import CircuitOpen, Unreachable

LONGEST = 1.0
"""Seconds: a server that is back is noticed within this, or the first cool-down."""


class Breaker:
    """The state of one node, shared by all threads and loops of the process."""

    __slots__ = (
        "_clock",
        "_closed_until_failures",
        "_cooldown",
        "_first_cooldown",
        "_last_error",
        "_node",
        "_probing",
        "_retry_at",
        "blocked",
        "failures",
    )

    def __init__(
        self,
        node: str,
        failures: int,
        cooldown: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._closed_until_failures = failures
        self._first_cooldown = cooldown
        self._cooldown = cooldown
        self._clock = clock
        self._retry_at = 0.0
        self._probing = False
        self._last_error = ""
        self.failures = 0
        self.blocked = False
        """Whether `admit` has to be asked: the only thing the hot path reads."""

    @property
    def state(self) -> str:
        if not self.blocked:
            return "closed"
        waits = self._clock() < self._retry_at and not self._probing
        return "open" if waits else "half-open"

    def refuse(self) -> None:
        """Raise `CircuitOpen` for who waits while the node is left alone."""
        if self.blocked and not self._probing:
            now = self._clock()
            if now < self._retry_at:
                raise self._open(now)

    def admit(self) -> None:
        """Let one probe pass when the time has come; raise `CircuitOpen` else."""
        now = self._clock()
        if not self.blocked:
            return
        if now < self._retry_at:
            raise self._open(now)
        # One probe: whoever comes next within the cool-down is turned away.
        self._retry_at = now + max(self._cooldown, self._first_cooldown)
        self._probing = True
        events.emit(events.BreakerChanged("", self._node, "half-open"))

    def succeeded(self) -> None:
        """The node answered."""
        self.failures = 0
        if self.blocked:
            self.blocked = self._probing = False
            self._cooldown = self._first_cooldown
            self._last_error = ""
            events.emit(events.BreakerChanged("", self._node, "closed"))

    def failed(self, error: BaseException) -> None:
        """The node refused, broke off or kept silent."""
        self.failures += 1
        self._last_error = str(error)
        if self.failures < self._closed_until_failures:
            return
        again = self.blocked
        if again:
            if not self._probing:
                return  # it was under way when the breaker opened
            self._probing = False
        if isinstance(error, Unreachable) and error.refused:
            self._cooldown = self._first_cooldown / 10
        elif again:
            longest = max(LONGEST, self._first_cooldown)
            longer = max(self._cooldown * 2, self._first_cooldown)
            self._cooldown = min(longer, longest)
        # The jitter keeps many processes from probing in step.
        pause = self._cooldown * random.uniform(0.9, 1.1)  # noqa: S311
        self._retry_at = self._clock() + pause
        self.blocked = True
        if not again:
            events.emit(events.BreakerChanged("", self._node, "open", error))

    def _open(self, now: float) -> CircuitOpen:
        return CircuitOpen(
            f"{self._node} failed {self.failures} times in a row and is left alone "
            f"for {self._retry_at - now:.1f} s more; the last error was: "
            f"{self._last_error}",
            outcome="not_sent",
        )
