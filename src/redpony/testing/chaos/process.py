"""A program that a test starts, stops where it stands, kills, and starts again.

The process ends with the one that started it, whatever kills that: Linux sends it
SIGKILL when the thread that forked it ends. So one thread forks them all, and it
ends with the interpreter; a test may start servers from threads that come and go.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def until(condition: Callable[[], object], what: str, within: float = 90) -> None:
    """Return when a condition is true; raise `TimeoutError` if it stays false.

    The condition is asked 200 times a second. `what` says what was waited for.
    """
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Not so after {within:g} s: {what}.")
        time.sleep(0.005)


class Process:
    """A process that runs, does not run, or is paused.

    `name` is what errors call it. Its output goes to `log_path`.
    """

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self.process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def pid(self) -> int:
        """The process' id; `RuntimeError` when it does not run."""
        if self.process is None:
            raise RuntimeError(f"{self!r} is not running")
        return self.process.pid

    @property
    def log(self) -> str:
        """What the process has printed, in all its lives."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether the process is there; a paused one is."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_paused(self) -> bool:
        """Whether the process is there and stands still."""
        return self.is_running and self._state() == "T"

    @property
    def is_up(self) -> bool:
        """Whether the process is there and goes on."""
        return self.is_running and not self.is_paused

    def pause(self) -> None:
        """Stop the process where it stands: connections stay and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: self._state() in "TZ", f"{self!r} stands still")

    def resume(self) -> None:
        """Let a paused process go on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def _spawn(self, command: Sequence[str]) -> None:
        if self.process is not None:
            raise RuntimeError(f"{self!r} is running")
        forked = _forker(os.getpid()).submit(_fork, command, self.log_path)
        self.process = forked.result()

    def _signal(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)

    def _await_end(self, patience: float = 5) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _ended(self) -> int | None:
        """Return the exit code of a process that has ended by itself."""
        if self.process is None or self.process.poll() is None:
            return None
        code, self.process = self.process.returncode, None
        return code

    def _state(self) -> str:
        """Return the process' state letter, as the kernel gives it."""
        stat = Path(f"/proc/{self.pid}/stat")
        if stat.exists():
            return stat.read_text().rpartition(")")[2].split()[0]
        asked = subprocess.run(
            ["ps", "-o", "state=", "-p", str(self.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout.strip()[:1] or "Z"


@functools.cache
def _forker(_process_id: int) -> ThreadPoolExecutor:
    """Return the thread that forks; a forked process needs one of its own."""
    return ThreadPoolExecutor(1, "redpony-chaos")


def _fork(command: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    # Found before the fork: a child of a process with threads should do little.
    die_with = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    with log_path.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A Ctrl-C is for the tests; they end their servers themselves.
            start_new_session=True,
            preexec_fn=die_with  # noqa: PLW1509
            and functools.partial(die_with, 1, int(signal.SIGKILL)),
        )
