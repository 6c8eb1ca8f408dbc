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

import contextlib
import enum
import os
import threading
import time
from collections import deque
from typing import Any
from weakref import ref

from redpony.leases import Lease, tend
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

    left = -1
    """What the holder's lease had left when it was put in line, in ms; -1: no end."""
    fence = 0
    asked = 0.0
    """When the command was sent that gave it the lock, or a place in line."""
    has_asked = False
    """Whether the server may know of it."""
    handed = False
    """Whether somebody handed it the lock."""
    _signal: Signal | None = None

    def __init__(self, token: bytes, place: Place = Place.BEHIND) -> None:
        self.token = token
        self.since = monotonic()
        self.place = place

    @property
    def signal(self) -> Signal:
        """What wakes it; only who is not alone needs one."""
        if self._signal is None:
            self._signal = Signal()
        return self._signal

    @property
    def waited(self) -> float:
        return monotonic() - self.since

    def move(self, place: Place) -> None:
        self.place = place
        self.signal.set()


class Gate:
    """The line for one lock in this process, and who of it has the lock.

    It refers to contenders weakly: one whose thread was interrupted at the wrong moment,
    and that nobody waits for any more, vanishes from it. The watchdog of leases looks
    after a line for that (`tend`).
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.shared = shared
        """Whether several of this process may have it: nobody's holding is in the way."""
        self._lock = threading.Lock()
        self._line: deque[ref[Contender]] = deque()
        self._front: ref[Contender] | None = None
        self.is_closed = False
        """Whether nobody may enter any more: another one has taken its place."""
        self.is_crowded = False
        """Whether the last who asked the server found that somebody else had it."""
        self._held: ref[Lease] | None = None

    @property
    def held(self) -> Lease | None:
        """What one of this process has; None where nobody has, or it was forgotten."""
        held = self._held
        return None if held is None else held()

    def __len__(self) -> int:
        """Return how many stand in line here."""
        with self._lock:
            return sum(1 for each in self._line if _waits(each()))

    def enter(self, contender: Contender) -> bool:
        """Stand in line; False if the gate is closed."""
        with self._lock:
            if self.is_closed:
                return False
            self._line.append(ref(contender))
            self._promote()
            is_alone = self._is_front(contender)
        if not is_alone:
            tend(self)
        return True

    def enter_alone(self, contender: Contender) -> bool:
        """Be the only one here, and so the front; False if there is somebody else."""
        with self._lock:
            if self._line or self._held or self._front or self.is_closed:
                return False
            self._front = ref(contender)
            return True

    def stay(self, contender: Contender) -> None:
        """Have the only one stand in line: it has to wait."""
        with self._lock:
            self._line.appendleft(ref(contender))

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

    def is_first(self, contender: Contender) -> bool:
        """Whether a contender is the next one here."""
        with self._lock:
            return self._first() is contender

    def tend(self) -> bool:
        """See to it that somebody is at the front; False where nobody is in line."""
        with self._lock:
            self._promote()
            return bool(self._line)

    def took(self, contender: Contender, lease: Lease) -> None:
        """Say that a contender has the lock now."""
        with self._lock:
            if self._line:
                self._remove(contender, Place.TAKEN)
            else:
                contender.place = Place.TAKEN
                if self._is_front(contender):
                    self._front = None
            if not self.shared:
                self._held = ref(lease)
            if self._line:
                self._promote()
                self._stir()

    def took_alone(self, lease: Lease) -> bool:
        """Say that the only one here has it now; False if somebody has come since."""
        with self._lock:
            if self._line or self.shared:
                return False
            self._front = None
            self._held = ref(lease)
            return True

    def following(self, lease: Lease) -> Contender | None:
        """Return who comes next here, after the holder of this lease."""
        with self._lock:
            first = self._first()
            if self.held is not lease or self._front is not None:
                return None
            if first is not None:
                # Its token is named to the server now, and has to be withdrawn if it
                # gives up: who gives the lock back may be interrupted, too.
                first.has_asked = True
            return first

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
            self._front = ref(contender)
            contender.move(place)
            return True

    def freed(self, lease: Lease) -> None:
        """Say that the lock was given back, or lost."""
        with self._lock:
            held = self._held
            if held is not None and held() is lease:
                self._held = None
            if self._line:
                self._promote()

    @property
    def is_busy(self) -> bool:
        """Whether anybody here wants the lock, or has it."""
        return bool(self._line or self._front or self._held)

    @property
    def is_contended(self) -> bool:
        """Whether anybody here stands in line."""
        return bool(self._line)

    def close(self) -> bool:
        """Let nobody in any more; False if somebody is here."""
        with self._lock:
            self._promote()
            if not self.is_busy:
                self.is_closed = True
            return self.is_closed

    # With the lock held

    def _first(self) -> Contender | None:
        """Return the first who still waits; whoever does not is dropped."""
        line = self._line
        while line:
            first = line[0]()
            if _waits(first):
                return first
            line.popleft()
        return None

    def _is_front(self, contender: Contender) -> bool:
        return self._front is not None and self._front() is contender

    def _remove(self, contender: Contender, place: Place) -> None:
        contender.place = place
        if self._is_front(contender):
            self._front = None
        line = self._line
        if line and line[0]() is contender:
            line.popleft()
        else:
            with contextlib.suppress(ValueError):
                line.remove(ref(contender))

    def _promote(self) -> None:
        held = self.held
        if held is None or held.stands <= 0:
            # Whatever its holder believes, or is about to do.
            self._held = held = None
        first = self._first()
        if self._front is not None and not _waits(self._front()):
            self._front = None
        if held is None and self._front is None and first is not None:
            self._front = ref(first)
            first.move(Place.FRONT)

    def _stir(self) -> None:
        # The first one watches over the holder's lease: it has to look anew.
        first = self._first()
        if first is not None and self._front is None:
            first.signal.set()


def _waits(contender: Contender | None) -> bool:
    return contender is not None and contender.place not in _DONE


_DONE = frozenset({Place.TAKEN, Place.GONE})

_gates: dict[Any, Gate] = {}
_lock = threading.Lock()


def gate_for(link: Any, key: str, *, shared: bool = False) -> Gate:
    """Return this process' line for a lock."""
    gate = _gates.get((link, key))
    if gate is None or gate.is_closed:
        with _lock:
            if len(_gates) >= _MANY:
                for each, found in list(_gates.items()):
                    if found.close():
                        del _gates[each]
            gate = _gates.setdefault((link, key), Gate(shared=shared))
    return gate


_MANY = 1024
"""So many locks' lines are kept before those are let go of where nobody is."""


def _after_fork() -> None:
    global _gates, _lock
    for gate in _gates.values():
        gate.is_closed = True
    _gates = {}
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
