"""A contestant's processes: its site, its publisher, its browsers."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any, Self

from benchmarks.realtime.children import Child, Failed, Figures
from benchmarks.realtime.contestants import Contestant

START = 60.0
WARM = 3


class Stage(contextlib.ExitStack):
    """All that one contestant needs, from start to end."""

    def __init__(self, contestant: type[Contestant], port: int) -> None:
        super().__init__()
        self.contestant = contestant
        self.name = contestant.name
        self._port = port
        self._next = 1

    def __enter__(self) -> Self:
        super().__enter__()
        directory = self.enter_context(
            tempfile.TemporaryDirectory(prefix="realtime-", ignore_cleanup_errors=True)
        )
        self.database = str(Path(directory).resolve() / "db.sqlite3")
        try:
            self.site = self._start("site", self.name, self._port, self.database)
            self.publisher = self._start("publisher", self.name, self._port)
            told = self.site.hear(START)
            arguments = (self.name, told["port"], told["cookie"])
            self.browsers = self._start("browsers", *arguments)
            self.publisher.await_ready()
            self.browsers.await_ready()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self, module: str, *arguments: object) -> Child:
        return self.enter_context(Child(module, *arguments))

    def open(self, count: int, last: str | None = None, patience: float = 60.0) -> Any:
        """Have so many browsers open; returns when messages come to all of them."""
        words = () if last is None else (last,)
        opened = self.browsers.ask(patience + 10, "open", count, patience, *words)
        if "error" in opened:
            raise Failed(f"{opened['error']} ({opened['open']} of {count} open)")
        return opened

    def leave(self) -> None:
        """Have all browsers close their connections."""
        self.browsers.ask(30, "close")

    def warm(self) -> Figures:
        """Publish a few messages to all who are there, and see that they come."""
        found = self.say(WARM, 20)
        if found["missing"]:
            raise Failed(f"{found['missing']} of the first messages did not come")
        return found

    def publish(self, count: int, rate: float, patience: float = 60.0) -> Figures:
        """Publish so many messages at so many a second (0: as fast as may be)."""
        first, self._next = self._next, self._next + count
        told: Figures = self.publisher.ask(patience, first, count, rate)
        return {**told, "first": first}

    def say(self, count: int, rate: float, patience: float = 60.0) -> Figures:
        """Publish messages, and return what became of them."""
        cpu = self.site.cpu()
        said = self.publish(count, rate, patience)
        found: Figures = self.browsers.ask(
            patience + 10, "collect", said["first"], count, patience
        )
        taken = max(1, found["last"] - said["began"]) / 1e9
        return {
            **found,
            "seconds": taken,
            "rate": found["delivered"] / taken,
            "cpu_us": 1e6 * (self.site.cpu() - cpu) / max(1, found["delivered"]),
            "publish_us": said["each_us"],
        }
