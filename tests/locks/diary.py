"""What contenders write down, one event a line, at once.

A line is a moment of the clock that all processes share, a process, and

    want NAME WHO PATIENCE        somebody begins to wait; seconds, or "ever"
    enter NAME WHO FENCE WEIGHT   surely has it at this moment
    sure NAME WHO FENCE           surely has it still
    leave NAME WHO FENCE          has given it back
    late NAME WHO FENCE           had it, but its time was over before it could enter
    quit NAME WHO WHY             gives up waiting, or met an error
    lost NAME WHO FENCE UNTIL     was told that its lease is over, which ended at UNTIL
    write NAME WHO FENCE SAID     wrote to the register: accepted or refused, and
                                  whether it surely held all the while
    stray NAME WHO FENCE          surely had it, and the server said that it had not
    torn NAME WHO FENCE           entered again and was somebody else, or was put out
    stolen NAME WHO FENCE         a token that nobody ever gave had something to release
    twice - WHO                   a command was sent twice
    copy - WHO                    a command was sent once more, much later
    echo - WHO                    such a one that may take a lock is about to be, or was

"Surely" is by the holder's own clock: its lease had time left *after* the moment was
read, so nothing that stops a process can make the line untrue.
"""

from __future__ import annotations

import os
import time
from typing import Any

LEASE = 1.0
"""Seconds of a renewed lease in these runs."""

LIMITS = {"a": 1, "b": 1, "s": 3, "r": 1_000_000}
"""What is contended for, and what its holders may weigh together: two locks, a
semaphore, and a lock for readers and writers."""

EXCLUSIVE = ("a", "b")


class Diary:
    """Appends lines to a file, each by one call of the system."""

    def __init__(self, path: str) -> None:
        self.pid = os.getpid()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *words: Any, at: float | None = None) -> None:
        at = time.monotonic() if at is None else at
        line = " ".join(map(str, (f"{at:.6f}", os.getpid(), *words)))
        os.write(self._file, f"{line}\n".encode())

    def surely(self, held: Any, what: str, *words: Any) -> bool:
        """Write down what is so at a moment at which a lock is surely held."""
        now = time.monotonic()
        if not is_sure(held, now):
            return False
        self.write(what, *words, at=now)
        return True


def is_sure(held: Any, moment: float) -> bool:
    """Whether a lock was surely held at a moment that has passed."""
    return bool(held.valid and held.until > moment)
