"""How many asyncio connections a process has, over all of its event loops.

They are counted by what is alive, so that no path can forget to give one back.
Whoever waits for a place belongs to a loop of its own and is woken in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from typing import Any

from redpony.wire.multiplexer import Multiplexer


class Places:
    """How many connections may exist, counted by the connections themselves."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._alive: set[weakref.ref[Multiplexer]] = set()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, Any]] = deque()

    @property
    def taken(self) -> int:
        return len(self._alive)

    def take(self, connection: Multiplexer) -> bool:
        """Count a connection that is about to open, if there is room."""
        with self._lock:
            if len(self._alive) >= self.size:
                return False
            self._alive.add(weakref.ref(connection, self._alive.discard))
            return True

    def give_back(self, connection: Multiplexer) -> None:
        for place in list(self._alive):
            if place() is connection:
                self._alive.discard(place)
        while self._waiting:
            try:
                loop, future = self._waiting.popleft()
                loop.call_soon_threadsafe(_wake, future)
            except (IndexError, RuntimeError):
                continue
            break

    async def wait(self, timeout: float) -> None:
        """Wait until a place may have become free, `timeout` seconds at most."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        entry = (loop, future)
        self._waiting.append(entry)
        timer = loop.call_later(timeout, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)

    def forget(self) -> None:
        self.__init__(self.size)  # type: ignore[misc]


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
