"""A server whose clock can be set, as an operator or NTP does, while it runs.

libfaketime stands between the server and the system's wall clock, and reads from a file
by how much to be wrong. The monotonic clock stays true, as it would.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.servers import Server

ROOT = Path(__file__).resolve().parents[2]


@cache
def library() -> str:
    """Return where libfaketime is; install it where that can be done."""
    subprocess.run(["sh", ROOT / ".ci" / "need", "faketime", "faketime"], check=True)
    home = Path(shutil.which("faketime") or "/usr/bin/faketime").resolve().parents[1]
    found = sorted(home.glob("lib*/**/libfaketime.so.1"))
    if not found:
        raise RuntimeError(f"faketime is installed, and its library is not in {home}")
    return str(found[0])


class Clocked(Server):
    """A server with a clock of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.offset = 0.0
        self._offset = self.directory / "offset"
        self._offset.write_text("+0.000\n")

    def step(self, seconds: float) -> None:
        """Set the clock so much forward, or back if that is negative."""
        self.offset += seconds
        before = self._offset.with_suffix(".new")
        before.write_text(f"{self.offset:+.3f}\n")
        before.replace(self._offset)

    def _spawn(self, command: Sequence[str]) -> None:
        # Debian's Redis asks jemalloc for memory, which asks for the time before
        # libfaketime can say it: glibc's allocator stands before that.
        first = ["libc_malloc_debug.so.0"] if self.flavour == "redis" else []
        wrapped = [
            "env",
            f"LD_PRELOAD={':'.join([*first, library()])}",
            f"FAKETIME_TIMESTAMP_FILE={self._offset}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_DONT_RESET=1",
        ]
        super()._spawn([*wrapped, *command])
