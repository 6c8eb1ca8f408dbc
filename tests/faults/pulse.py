"""How late this machine wakes its threads, so that nobody is blamed for it.

A thread asks to be woken every few milliseconds and notes when it was not. What
a caller was held is measured by the clock; the stalls of the scheduler within
that time are taken off, because no client can answer while it does not run.
"""

from __future__ import annotations

import threading
import time
from typing import Self

TICK = 0.005


class Stalls:
    """When something did not run although it wanted to: pairs of start and end."""

    def __init__(self) -> None:
        self._found: list[tuple[float, float]] = []
        self._due = 0.0

    def plan(self) -> None:
        """Remember that we are about to ask for one tick's sleep."""
        self._due = time.monotonic() + TICK

    def wake(self) -> None:
        """Note how much later than asked we were woken."""
        now = time.monotonic()
        if now - self._due > TICK:
            self._found.append((self._due, now))

    def within(self, start: float, end: float) -> float:
        """Return how many seconds of a span were stalls."""
        return sum(
            min(end, until) - max(start, since)
            for since, until in list(self._found)
            if since < end and until > start
        )


class Pulse:
    """A thread of a `Stalls`; a context manager."""

    def __init__(self) -> None:
        self.stalls = Stalls()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.is_set():
            self.stalls.plan()
            self._over.wait(TICK)
            self.stalls.wake()

    def excused(self, start: float, end: float) -> float:
        """Return how long of a span is the machine's fault, in seconds."""
        return self.stalls.within(start, end)
