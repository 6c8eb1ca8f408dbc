"""Somebody who publishes numbers, whatever happens to the server."""

from __future__ import annotations

import threading
from typing import Any, Self

from redpony.errors import Unavailable
from redpony.realtime import publish


class Speaker:
    """Publishes 0, 1, 2 ... to channels until its block is left; a context manager.

    Each number under a key of its own: after an error it is said again, and counts once.
    """

    def __init__(self, *channels: str, pause: float = 0.02) -> None:
        self.channels = channels
        self.pause = pause
        self.count = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._speak)
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> int:
        """Say no more; return the last number."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self.count - 1

    def _speak(self) -> None:
        try:
            while not self._ended.wait(self.pause):
                for each in self.channels:
                    self._say(each, self.count)
                self.count += 1
        except BaseException as failure:
            self._failure = failure

    def _say(self, channel: str, number: int) -> Any:
        while True:
            try:
                return publish(channel, number, idempotency_key=f"{channel} {number}")
            except Unavailable:
                self._ended.wait(0.05)
