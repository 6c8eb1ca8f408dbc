"""Leases: what a process has for a time, and how it keeps it, or learns that it lost it.

A lease is kept by the server's clock and known by ours. `until` is the moment, on the
monotonic clock, up to which nobody else can have it: counted from *before* the command
that set it was sent, never from when its answer came. So a process that was stopped
for longer finds its lease over by its own clock, without asking anybody.

One thread a process, the watchdog, looks after all of them, those of threads and those
of event loops alike: it renews what is to be renewed (all that is due at once in one
flight a server) and marks what is lost. It also runs the errands of those who were
interrupted and cannot clean up themselves. It sleeps while there is nothing to do. A
forked child has none of its parent's leases.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import ref

from redpony.commands import Command
from redpony.errors import RedponyError
from redpony.interrupts import is_interrupt
from redpony.plan import Batch, Replies
from redpony.signals import Signal
from redpony.wire.aside import aside, in_thread

if TYPE_CHECKING:
    from redpony.wire.link import Link
    from redpony.wire.topology.link import TopologyLink

logger = logging.getLogger("redpony")
monotonic = time.monotonic

TICK: Final = 0.25
"""The watchdog's longest step, in seconds, while there is something to look after."""

BRIEF: Final = 0.05
"""Its shortest."""

LINGERS: Final = 8
"""How many steps it takes with nothing to do before it sleeps until it is called."""


_lock = threading.Lock()


class Lost:
    """A mark that is set once, when a lease is lost: for threads, and for tasks.

    `is_set()` and `wait(timeout)` are those of `threading.Event`; `await lost` and
    `await lost.awaited(timeout)` are for asyncio.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._is_set = False
        self._waiting: list[Signal] = []

    def is_set(self) -> bool:
        """Return whether the lease is lost."""
        return self._is_set

    def __bool__(self) -> bool:
        return self._is_set

    def set(self, reason: str) -> None:
        """Mark it as lost, and wake everybody."""
        self.reason = reason
        self._is_set = True
        for signal in list(self._waiting):
            signal.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the lease is lost; return whether it is."""
        signal = Signal()
        self._waiting.append(signal)
        try:
            return self._is_set or signal.wait(timeout)
        finally:
            self._waiting.remove(signal)

    async def awaited(self, timeout: float | None = None) -> bool:
        """Await the loss of the lease; return whether it is lost."""
        signal = Signal()
        self._waiting.append(signal)
        try:
            return self._is_set or await signal.awaited(timeout)
        finally:
            self._waiting.remove(signal)

    def __await__(self) -> Any:
        return self.awaited().__await__()


class Lease:
    """Something that this process has for a time: the base of what is held.

    `seconds` is its length. Where `ends` is None it is renewed for as long as it is
    held; otherwise it ends then. `until` is up to when it is surely ours.
    """

    is_lost = False
    is_parents = False
    """Whether it is the parent's of a process that was forked; hands off."""
    is_over = False
    _lost: Lost | None = None
    _told: tuple[Callable[[], object], ...] = ()

    link: Link | TopologyLink
    name: str
    seconds: float
    until: float
    ends: float | None

    def renewal(self, milliseconds: int) -> Command:
        """Return the command that sets how long it lasts from then on.

        It answers 0 where the lease is not ours any more.
        """
        raise NotImplementedError

    @property
    def lost(self) -> Lost:
        """The mark that is set when it is lost; made for those who ask."""
        if self._lost is None:
            with _lock:
                if self._lost is None:
                    lost = Lost()
                    if self.is_lost:
                        lost.set("")
                    self._lost = lost
        return self._lost

    def tell(self, told: Callable[[], object]) -> None:
        """Have something called in the watchdog's thread when it is lost."""
        self._told += (told,)

    @property
    def remaining(self) -> float:
        """Seconds for which it is surely ours; 0 where it is not."""
        if self.is_over or self.is_lost:
            return 0.0
        return max(self.until - monotonic(), 0.0)

    @property
    def stands(self) -> float:
        """Seconds for which nobody else can have it, given back or not; 0 if lost."""
        return 0.0 if self.is_lost else max(self.until - monotonic(), 0.0)

    @property
    def goal(self) -> float:
        """Return until when it should last, if it were set now."""
        return monotonic() + self.seconds if self.ends is None else self.ends

    def is_due(self, now: float) -> bool:
        """Whether it should be set anew: it is over a third gone, or was a short grant."""
        if self.ends is None:
            return self.until - now < self.seconds * 2 / 3
        return self.until < self.ends - 0.001

    def end(self) -> None:
        """It was given back: nobody has to look after it."""
        self.is_over = True
        _kept.discard(ref(self))

    def lose(self, reason: str) -> None:
        """It is not ours any more, whatever anybody believes."""
        if self.is_over or self.is_lost:
            return
        _kept.discard(ref(self))
        self.is_lost = True
        self.lost.set(reason)
        for tell in self._told:
            try:
                tell()
            except Exception as error:  # a listener's fault is not ours
                if is_interrupt(error):
                    raise
                logger.exception("What should follow the loss of a lease failed")


_kept: set[ref[Lease]] = set()


def keep(lease: Lease) -> None:
    """Have the watchdog look after a lease, for as long as it exists.

    One that was forgotten cannot be given back: it is renewed no more, and is over
    when its time is.
    """
    _kept.add(ref(lease))
    _watchdog.look_after(lease)


def kept() -> list[Lease]:
    """Return all leases that the process has."""
    found: list[Lease] = []
    for each in _kept.copy():
        lease = each()
        if lease is None:
            _kept.discard(each)
        else:
            found.append(lease)
    return found


TIMES: Final = (0.0, 0.25, 1.0, 3.0)
"""When an errand is run, in seconds after it was given: again and again, because what
it undoes may still be under way, on another connection."""


class Errand:
    """A command that undoes something, whatever else happens; harmless if repeated."""

    def __init__(self, link: Link | TopologyLink, command: Command) -> None:
        self.link = link
        self.command = command
        self.given = monotonic()
        self.left = list(TIMES)
        self._closings = link.closings

    @property
    def due(self) -> float:
        return self.given + self.left[0] if self.left else 0.0

    def run(self) -> None:
        """Run it once more; not where the link was closed since: it would open again."""
        if self.link.closings != self._closings:
            self.left.clear()
            return
        with contextlib.suppress(RedponyError):
            self.link.blocking.ask(self.command)


class Tended(Protocol):
    """Something that has to be looked at now and then."""

    def tend(self) -> bool:
        """Look at it; False where nothing is left to look after."""
        ...


_tended: set[Tended] = set()


def tend(thing: Tended) -> None:
    """Have the watchdog look at something with each of its steps."""
    if thing not in _tended:
        _tended.add(thing)
        _watchdog.start_or_wake()


_errands: set[Errand] = set()


def undo(link: Link | TopologyLink, command: Command) -> None:
    """Have the watchdog run a command that undoes something."""
    _errands.add(Errand(link, command))
    _watchdog.start_or_wake()


class Watchdog:
    """The thread that looks after all leases."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def look_after(self, lease: Lease) -> None:
        """See to it that the thread runs, and looks in time."""
        step = TICK if lease.seconds >= TICK * 8 else _step(lease)
        if self._thread is None or monotonic() + step < self._wakes_at:
            self.start_or_wake()

    def start_or_wake(self) -> None:
        """Have the thread look at once."""
        if self._thread is not None:
            self._news.set()
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="redpony leases", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        idle = 0
        while True:
            now = monotonic()
            pauses = [_step(lease) for lease in kept()]
            pauses += [errand.due - now for errand in list(_errands)]
            pauses += [TICK] * bool(_tended)
            idle = 0 if pauses else idle + 1
            if idle < LINGERS:
                # To be woken for each lock of many would cost more than to look.
                pause = max(min(pauses, default=TICK), 0.0)
                self._wakes_at = now + pause
                self._news.wait(pause)
            else:
                self._wakes_at = math.inf
                # What came between the look and this line has not seen it.
                self._news.wait(0 if _kept or _errands or _tended else None)
                idle = 0
            self._news.clear()
            try:
                self._look()
            except Exception:  # it has to go on: others depend on it
                logger.exception("The watchdog of leases met what it did not expect")

    def _look(self) -> None:
        now = monotonic()
        for errand in _errands.copy():
            if not errand.left:
                _errands.discard(errand)
            elif errand.due <= now:
                errand.left.pop(0)
                # It is often a server that hangs, and leases on others are to be renewed.
                in_thread(errand.link, errand.run)
        for thing in list(_tended):
            if not thing.tend():
                _tended.discard(thing)
                if thing.tend():  # somebody came in between
                    _tended.add(thing)
        look(kept())


def _step(lease: Lease) -> float:
    """Return how long a lease may be left alone."""
    return min(max(lease.seconds / 8, BRIEF), TICK)


def in_ms(seconds: float) -> int:
    """Return so many seconds as the server counts them: never less, and never 0."""
    return max(math.ceil(seconds * 1000), 1)


def look(leases: list[Lease]) -> None:
    """Renew what is due, and mark what is lost."""
    now = monotonic()
    due: defaultdict[Any, list[Lease]] = defaultdict(list)
    for lease in leases:
        if lease.until <= now:
            lease.lose("its time is over")
        elif lease.is_due(now):
            due[lease.link].append(lease)
    several = len({lease.link for lease in leases}) > 1
    for link, some in due.items():
        if several:  # one that hangs must not keep us from the others
            aside(link, partial(renew, link, some))
        else:
            renew(link, some)


def renew(link: Any, leases: list[Lease]) -> None:
    """Set leases anew that are on one link, in one flight."""
    now = monotonic()
    spans = [lease.goal - now for lease in leases]
    commands = [
        lease.renewal(in_ms(span)) for lease, span in zip(leases, spans, strict=True)
    ]
    replies: Replies = link.blocking.ask_all(Batch(commands))
    for lease, span, reply in zip(leases, spans, replies, strict=True):
        if isinstance(reply, RedponyError):
            # It is ours until its time is over: there will be another look.
            continue
        if not reply:
            lease.lose("somebody else has ended it")
        else:
            lease.until = now + span


_watchdog = Watchdog()


def _after_fork() -> None:
    global _watchdog, _lock
    _lock = threading.Lock()
    for each in _kept:
        lease = each()
        if lease is not None:
            lease.is_lost = lease.is_parents = True
    _kept.clear()
    _errands.clear()
    _tended.clear()
    _watchdog = Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
