"""The crowd inside a process: one of it waits at the server, the others for that one.

All who wait for one latch are released by the same word. So each asks for itself once,
when it comes, and then only the *front* of them asks, and keeps a connection. A word is
the moment at which the latch opened, by the server's clock; it releases those who came
before that moment. What they know of it is when it had opened last when they asked: so
nobody is missed who was there, and nobody released who came when it was closed again.
A front that was interrupted is replaced within `LOOKS`.
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
    """A thread or task that waits; `since`: when the latch had opened last before."""

    def __init__(self, since: int) -> None:
        self.signal = Signal()
        self.since = since
        self.is_released = False


class Crowd:
    """Those of a process who wait for the same thing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: WeakSet[Member] = WeakSet()
        self._front: ref[Member] | None = None
        self._opened = 0

    def join(self, since: int) -> Member:
        """Come to wait."""
        member = Member(since)
        with self._lock:
            # The word may have come while we asked.
            member.is_released = self._opened > since
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

    def release(self, opened: int) -> None:
        """The latch has opened at this moment: for all who had come before."""
        with self._lock:
            self._opened = max(self._opened, opened)
            for each in list(self._members):
                if each.since < opened:
                    each.is_released = True
                    each.signal.set()

    def leave(self, member: Member) -> None:
        """Wait no longer; if it was the front, another one is."""
        with self._lock:
            self._members.discard(member)
            if self._front is None or self._front() is not member:
                return
            self._front = None
            waiting = (each for each in self._members if not each.is_released)
            after = next(waiting, None)
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
