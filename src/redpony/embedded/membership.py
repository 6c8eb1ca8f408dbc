"""The process as a user of a server: one shared lock, held until it ends.

A forked child starts with its parent's open file, which keeps the server too,
and takes a lock of its own when it first asks for the server.
"""

from __future__ import annotations

import multiprocessing.process
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redpony.embedded import locks
from redpony.embedded.state import State
from redpony.embedded.supervisor import birth


@dataclass(frozen=True, slots=True)
class Membership:
    """The open, locked file `users`, and whose it is."""

    descriptor: int
    device: int
    inode: int
    owner: int

    def holds(self, path: Path) -> bool:
        """Whether this process still has the lock, and on the file at `path`.

        A daemon may have closed all its files; a cleaner of temporary
        directories may have removed ours.
        """
        return (
            self.owner == os.getpid()
            and self.is_open()
            and locks.same_file(self.descriptor, path)
        )

    def end(self) -> None:
        """Give the lock back, unless the file was closed by somebody else."""
        if self.is_open():
            with suppress(OSError):
                os.close(self.descriptor)

    def is_open(self) -> bool:
        """Whether the file is open still and the number means no other."""
        try:
            found = os.fstat(self.descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)


def enter(state: State, deadline: float) -> Membership:
    """Become a user: from here on the supervisor lets the server live."""
    while True:
        try:
            descriptor = locks.open_file(state.users)
        except FileNotFoundError:
            state.prepare()
            if time.monotonic() >= deadline:
                raise
            continue
        try:
            locks.acquire(descriptor, state.users, shared=True, deadline=deadline)
            if locks.same_file(descriptor, state.users):
                os.utime(descriptor)  # tells the supervisor that somebody came
                found = os.fstat(descriptor)
                entered = Membership(
                    descriptor, found.st_dev, found.st_ino, os.getpid()
                )
                descriptor = -1
                _name_parent(state)
                return entered
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _name_parent(state: State) -> None:
    """Name the process that will start this one again, if there is one.

    Between two children of an autoreloader nobody holds the lock, and the next
    one may not ask for the server before its first request. So the parent
    counts as long as it lives.
    """
    parent = _parent()
    if parent is None:
        return
    line = f"{parent} {birth(parent)}\n"
    with suppress(FileNotFoundError):
        if line in state.parents.read_text(encoding="ascii"):
            return
    with state.parents.open("a", encoding="ascii") as names:
        names.write(line)


def _parent() -> int | None:
    starter = multiprocessing.process.parent_process()
    if starter is not None:
        return starter.pid
    if os.environ.get("RUN_MAIN") != "true":  # Django's mark of a reloaded child
        return None
    parent = os.getppid()
    try:
        # Whoever inherits orphans is in another session than they are.
        ours = parent > 1 and os.getsid(parent) == os.getsid(0)
    except OSError:
        return None
    return parent if ours else None
