"""The body of an `async with`, cancelled when its lock is lost.

As `asyncio.timeout` does it: the task is cancelled once, and the cancellation is taken
back where the block ends, unless somebody else has cancelled the task too.
"""

from __future__ import annotations

import asyncio
import contextlib

from redpony.leases import Lease


class Guard:
    """Cancels the current task if a lease is lost before `end`."""

    def __init__(self, lease: Lease) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._before = self._task.cancelling() if self._task else 0
        self._is_over = False
        self._has_cancelled = False
        lease.tell(self._lost)

    def end(self) -> bool:
        """Stop guarding; return whether the lock's loss is all that cancelled the task."""
        self._is_over = True
        if self._task is None or not self._has_cancelled:
            return False
        return self._task.uncancel() <= self._before

    def _lost(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self._is_over and self._task is not None:
            self._has_cancelled = True
            self._task.cancel("the lock was lost")
