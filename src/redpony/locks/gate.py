"""The line inside a process: whoever here wants a lock waits here first.

Threads and tasks of all event loops stand in one line for each lock. Only its *front*
talks to the server, and only while nobody of this process holds the lock: a thousand
waiting tasks cost the server one. A holder that gives the lock back tells the server
who is next here and for how long that one has been waiting, and the server decides
whether it was first, or somebody in another process. So the line is first come first
served over all processes, up to what a round trip takes.

What the gate says of the server is a copy: if it is wrong (a thread was interrupted in
the middle of giving the lock back), a lease's end puts it right.
"""

from __future__ import annotations

import enum
import os
import threading
import time
from collections import deque
from typing import Any

from redpony.leases import Lease
from redpony.signals import Signal

monotonic = time.monotonic


class Place(enum.Enum):
    """Where a contender stands."""

    BEHIND = "behind"
    """Others of this process come first, or one of them has the lock."""
    FRONT = "front"
    """It asks the server."""
    IN_LINE = "in line"
    """It is the front, and the server has it in its line already."""
    GIVEN = "given"
    """It was given the lock by the one of this process that had it before."""
    TAKEN = "taken"
    """It has the lock."""
    GONE = "gone"
    """It has given up."""


class Contender:
    """A thread or task that wants a lock, and has not got it yet."""

    __slots__ = (
        "asked",
        "fence",
        "has_asked",
        "left",
        "place",
        "signal",
        "since",
        "token",
    )

    def __init__(self, token: bytes, place: Place = Place.BEHIND) -> None:
        self.token = token
        self.since = monotonic()
        self.place = place
        self.left = -1
        """What the holder's lease had left when it was put in line, in ms; -1: no end."""
        self.signal = Signal()
        self.fence = 0
        self.asked = 0.0
        """When the command was sent that gave it the lock, or a place in line."""
        self.has_asked = False
        """Whether the server may know of it."""

    @property
    def waited(self) -> float:
        return monotonic() - self.since

    def move(self, place: Place) -> None:
        self.place = place
        self.signal.set()


class Gate:
    """The line for one lock in this process, and who of it has the lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.line: deque[Contender] = deque()
        self.front: Contender | None = None
        self.held: Lease | None = None
        self.holder: Any = None
        """A weak reference to its holding, for those who enter it again."""

    def enter(self, contender: Contender) -> None:
        """Stand in line."""
        with self._lock:
            self.line.append(contender)
            self._promote()

    def enter_alone(self, contender: Contender) -> bool:
        """Be the only one here, and so the front; False if there is somebody else."""
        with self._lock:
            if self.line or self.held is not None:
                return False
            self.line.append(contender)
            self.front = contender
            return True

    def leave(self, contender: Contender) -> None:
        """Give up: the next one comes to the front if it may."""
        with self._lock:
            self._remove(contender, Place.GONE)
            self._promote()
            self._stir()

    def look(self, contender: Contender) -> Place:
        """Look again whether somebody of this process has the lock; return its place."""
        with self._lock:
            self._promote()
            return contender.place

    def took(self, contender: Contender, lease: Lease, holder: Any) -> None:
        """Say that a contender has the lock now."""
        with self._lock:
            self._remove(contender, Place.TAKEN)
            self.held = lease
            self.holder = holder
            self._stir()

    def following(self, lease: Lease) -> Contender | None:
        """Return who comes next here, after the holder of this lease."""
        with self._lock:
            if self.held is not lease or self.front is not None or not self.line:
                return None
            return self.line[0]

    def give(
        self, contender: Contender, place: Place, fence: int, asked: float
    ) -> bool:
        """Tell the next one what became of it; False if it has given up meanwhile."""
        with self._lock:
            if contender.place is Place.GONE:
                return False
            if contender.place is Place.TAKEN:  # it found out by itself
                return True
            contender.fence = fence
            contender.asked = asked
            self.front = contender
            contender.move(place)
            return True

    def freed(self, lease: Lease) -> None:
        """Say that the lock was given back, or lost."""
        with self._lock:
            if self.held is lease:
                self.held = None
                self.holder = None
            self._promote()

    @property
    def is_empty(self) -> bool:
        return not self.line and self.held is None

    def _remove(self, contender: Contender, place: Place) -> None:
        contender.place = place
        if self.front is contender:
            self.front = None
        if contender in self.line:
            self.line.remove(contender)

    def _promote(self) -> None:
        held = self.held
        if held is not None and held.stands <= 0:
            # Whatever its holder believes, or is about to do.
            self.held = held = None
            self.holder = None
        if held is None and self.front is None and self.line:
            self.front = self.line[0]
            self.front.move(Place.FRONT)

    def _stir(self) -> None:
        # The first one watches over the holder's lease: it has to look anew.
        if self.line and self.front is None:
            self.line[0].signal.set()


_gates: dict[Any, Gate] = {}
_lock = threading.Lock()


def gate_for(link: Any, key: str) -> Gate:
    """Return this process' line for a lock."""
    gate = _gates.get((link, key))
    if gate is None:
        with _lock:
            if len(_gates) >= _MANY:
                for each, found in list(_gates.items()):
                    if found.is_empty:
                        del _gates[each]
            gate = _gates.setdefault((link, key), Gate())
    return gate


_MANY = 1024


def _after_fork() -> None:
    global _gates, _lock
    _gates = {}
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
