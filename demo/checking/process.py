"""The demo as a process of its own, and whatever it has started.

Every process that descends from it inherits a mark in its environment, so none can
hide from `left_behind`, whoever its parent is by then.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

RUN = Path(__file__).resolve().parent.parent / "run.py"
READY = "Redpony demo: "
PATIENCE = 60.0
"""Seconds from the start until the site is ready: what `make demo` promises."""


class Demo:
    """`run.py`, started with folders of its own below `folder`."""

    def __init__(self, folder: Path, *arguments: str, debug: bool = True) -> None:
        self._mark = f"REDPONY_DEMO_CHECK={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        self._temporary = folder / "tmp"
        self._temporary.mkdir(exist_ok=True)
        environment = os.environ | {
            name: value,
            "DEMO_DATA": str(folder / "demo"),
            "DEMO_DEBUG": "1" if debug else "0",
            "PORT": "0",
            "TMPDIR": str(self._temporary),
        }
        for foreign in ("DJANGO_SETTINGS_MODULE", "DEMO_LOCATION"):
            environment.pop(foreign, None)
        self.site = ""
        self.lines: list[str] = []
        self._news: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, str(RUN), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_until_ready(self) -> None:
        """It is ready, and says where."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not ready after {PATIENCE:.0f} s") from None
            if line is None:
                raise AssertionError("it ended before it was ready:\n" + self.output)
            if line.startswith(READY):
                self.site = line.removeprefix(READY).split()[0].rstrip("/")
                return

    @property
    def output(self) -> str:
        """Everything that it printed."""
        return "\n".join(self.lines)

    def interrupt(self) -> int:
        """Send what Ctrl-C sends; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(20)

    def left_behind(self) -> list[str]:
        """Return the nodes' folders that are left, and the processes that live (Linux)."""
        return [*map(str, self._temporary.glob("rp-*")), *self._living()]

    def _living(self) -> list[str]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue  # it has ended, or belongs to somebody else
            if self._mark.encode() in environment:
                found.append(f"{folder.name} {command.decode(errors='replace')}")
        return found

    def kill(self) -> None:
        """Make sure of the end, after a check that failed."""
        for line in self._living():
            os.kill(int(line.split()[0]), signal.SIGKILL)
        self._process.wait(20)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            self._news.put(line.rstrip())
        self._news.put(None)
