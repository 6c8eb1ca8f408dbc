"""The crowd inside a process: one of it waits at the server, the others for that one.

All of a process who wait for one latch are released by the same word. So only the
*front* of them asks the server and keeps a connection, and what it hears goes for all
who were there when it asked. Who came later has to ask anew: the latch that was open
may be another's by then. A front that was interrupted is replaced within `LOOKS`.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final
from weakref import WeakSet, WeakValueDictionary, ref

from redpony.signals import Signal

LOOKS: Final = 5.0
"""Seconds after which one of a crowd looks whether there is a front."""


class Member:
    """A thread or task that waits."""

    def __init__(self) -> None:
        self.signal = Signal()
        self.is_covered = False
        """Whether it was here when the front asked last."""
        self.is_open = False


class Crowd:
    """Those of a process who wait for the same thing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: WeakSet[Member] = WeakSet()
        self._front: ref[Member] | None = None

    def join(self) -> Member:
        """Come to wait."""
        member = Member()
        with self._lock:
            self._members.add(member)
        return member

    def is_front(self, member: Member) -> bool:
        """Whether it is this one who asks the server; so it is where there is none."""
        with self._lock:
            front = self._front() if self._front is not None else None
            if front is None:
                self._front = ref(member)
                return True
            return front is member

    def cover(self) -> None:
        """The front asks now, for all who are here."""
        with self._lock:
            for each in self._members:
                each.is_covered = True

    def open(self) -> None:
        """What the front asked for is open."""
        with self._lock:
            for each in list(self._members):
                if each.is_covered:
                    each.is_open = True
                    each.signal.set()

    def leave(self, member: Member) -> None:
        """Wait no longer; if it was the front, another one is."""
        with self._lock:
            self._members.discard(member)
            if self._front is None or self._front() is not member:
                return
            self._front = None
            after = next((each for each in self._members if not each.is_open), None)
            if after is not None:
                self._front = ref(after)
                after.signal.set()


_crowds: WeakValueDictionary[Any, Crowd] = WeakValueDictionary()
_lock = threading.Lock()


def crowd_for(link: Any, key: str) -> Crowd:
    """Return the crowd of this process for something; kept for as long as it is used."""
    with _lock:
        found = _crowds.get((link, key))
        if found is None:
            found = _crowds[link, key] = Crowd()
        return found


def _after_fork() -> None:
    global _crowds, _lock
    _crowds = WeakValueDictionary()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
