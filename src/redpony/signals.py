"""A mark that one thread or task waits for, and any other may set.

What plans of one process wake each other with, whatever their colour: a blocked
thread sleeps on a lock, a task awaits a future of its own loop. Nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


class Signal:
    """Set once and for all, from anywhere, a signal's handler included.

    One waits at a time. A mark that is set before anybody waits is not lost.
    """

    __slots__ = ("_wake", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._wake: Callable[[], None] | None = None

    def set(self) -> None:
        """Wake whoever waits, or whoever will."""
        self.is_set = True
        wake = self._wake
        if wake is not None:
            wake()

    def clear(self) -> None:
        """Take the mark back, for the next wait."""
        self.is_set = False

    def wait(self, timeout: float | None) -> bool:
        """Block until the mark is set; return whether it is."""
        if self.is_set:
            return True
        gate = threading.Lock()
        gate.acquire()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # it is open already
                gate.release()

        self._wake = wake
        try:
            # Whoever set it before we stood here did not see us.
            if not self.is_set:
                gate.acquire(timeout=-1 if timeout is None else _bounded(timeout))
        finally:
            self._wake = None
        return self.is_set

    async def awaited(self, timeout: float | None) -> bool:
        """Await the mark; return whether it is set."""
        if self.is_set:
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def resolve() -> None:
            if not future.done():
                future.set_result(None)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                if asyncio._get_running_loop() is loop:  # noqa: SLF001 (see holder)
                    resolve()
                else:
                    loop.call_soon_threadsafe(resolve)

        self._wake = wake
        timer = None if timeout is None else loop.call_later(max(timeout, 0), resolve)
        try:
            if not self.is_set:
                await future
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()
        return self.is_set


def _bounded(seconds: float) -> float:
    """Return what a thread can wait for: not less than nothing, and not for ever."""
    return min(max(seconds, 0), threading.TIMEOUT_MAX)
