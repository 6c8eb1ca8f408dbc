"""The processes of these rows, and what the kernel says of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.locks import children
from benchmarks.locks.children import Failed, Figures, in_turns, listen, ready, report

__all__ = [
    "Child",
    "Failed",
    "Figures",
    "in_turns",
    "listen",
    "ready",
    "report",
    "report_line",
]


def report_line(found: Any) -> None:
    """In the child: say something, and go on."""
    print(json.dumps(found), flush=True)


class Child(children.Child):
    """A module of this package that runs as a program."""

    package = "benchmarks.realtime"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, patience: float, *words: object) -> Any:
        """Tell it something, and return its answer."""
        self.tell(*words)
        return self.hear(patience)

    def cpu(self) -> float:
        """Return the seconds of CPU that it has taken, all threads together."""
        # The clock of another process: see clock_getcpuclockid(3).
        return time.clock_gettime((~self.pid << 3) | 2)

    def threads(self) -> int:
        return self._status("Threads")

    def resident(self) -> int:
        """Return its resident memory in bytes."""
        return 1024 * self._status("VmRSS")

    def opened(self, path: str) -> int:
        """Return how often it has a file open: connections, where that is a database."""
        found = 0
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                found += str(each.readlink()) == path
            except OSError:  # closed meanwhile
                continue
        return found

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0])
        raise Failed("it has ended")
