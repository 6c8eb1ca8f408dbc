"""The event log: what goes wrong, told in log lines, once per burst.

A server that is away for ten seconds degrades thousands of operations. The first
is logged at once; those that follow only count. A line with their number comes
each `every` seconds for as long as the burst lasts, and when it has ended: when
`quiet` seconds passed without another one, or when the node answers again.

What always holds:

* Nothing runs in the background. Whether a burst has ended is decided when the
  next event comes, of whatever kind: after the last one its count stays unlogged
  until then, or until `flush()`.
* A burst is one subject: an alias that degrades, an alias whose values are
  refused for one reason, a node whose commands are repeated or whose breaker
  changes. At most `most` are remembered; the one that was silent longest makes
  room, and its count is logged.
* Lines are written outside of the lock: a log handler may itself use a cache.
* A line names the alias, the node, the operation and the error, or the lock; never
  a key, never a value.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from redpony import events
from redpony.events import (
    BreakerChanged,
    CircularWait,
    Degraded,
    Event,
    LockLost,
    Promoted,
    Refused,
    Retried,
)

LOGGER = "redpony"

Line = tuple[str, int, str, tuple[object, ...]]
"""A logger's name, a level, a format and its arguments."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How one alias speaks: its logger, its node, and whether it tells all."""

    logger: str = LOGGER
    log_degraded: bool = True
    node: str = ""


@dataclass(slots=True)
class Burst:
    """Events of one subject, shortly after each other."""

    logger: str
    level: int
    what: str
    node: str
    told: float
    """When the last line was written."""
    last: float
    count: int = 0
    """How many came since."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What an event comes to: its subject, and the words for it."""

    subject: tuple[str, ...]
    logger: str
    level: int
    first: str
    arguments: tuple[object, ...]
    what: str
    node: str
    detail: str = ""
    recovers: bool = False
    """Whether it ends what the node's failure began."""


class EventLog:
    """Writes events to `logging`; a handler for `events.subscribe`."""

    def __init__(
        self,
        *,
        every: float = 30.0,
        quiet: float = 5.0,
        most: int = 128,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every = every
        self._quiet = quiet
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._voices: dict[str, Voice] = {}
        self._bursts: dict[tuple[str, ...], Burst] = {}

    def add(self, alias: str, voice: Voice) -> None:
        """Have an alias' events told as `voice` says."""
        with self._lock:
            self._voices[alias] = voice

    def __call__(self, event: Event) -> None:
        """Take an event, and write the lines that are due."""
        said = self._say(event)
        now = self._clock()
        with self._lock:
            lines = self._ended(now)
            if said is not None:
                lines += self._count(said, now)
        _write(lines)

    def flush(self) -> None:
        """Write the counts of all bursts now, and forget them."""
        with self._lock:
            lines = [_summary(each) for each in self._bursts.values() if each.count]
            self._bursts.clear()
        _write(lines)

    def forget_lock(self) -> None:
        """In a forked child: another thread may have held the lock."""
        self._lock = threading.Lock()

    # What an event says

    def _say(self, event: Event) -> Said | None:
        if isinstance(event, Degraded):
            return self._say_degraded(event)
        if isinstance(event, Refused):
            return Said(
                ("refused", event.alias, event.reason),
                self._voices.get(event.alias, Voice()).logger,
                logging.WARNING,
                "%s: a stored value was not used (%s): %s",
                (event.alias, event.reason, event.detail),
                f"{event.alias}: stored values not used ({event.reason})",
                "",
                event.detail,
            )
        if isinstance(event, Retried):
            names = _names(event.commands)
            return Said(
                ("retried", event.node),
                self._logger_of(event),
                logging.INFO,
                "%s: %s was sent again (attempt %d): %s",
                (event.node, names, event.attempt, event.error),
                f"{event.node}: commands sent again",
                event.node,
                str(event.error),
            )
        if isinstance(event, BreakerChanged):
            return self._say_breaker(event)
        if isinstance(event, Promoted):
            return Said(
                ("promoted", event.node),
                self._logger_of(event),
                logging.WARNING,
                "%s is a primary now: writes go there",
                (event.node,),
                f"{event.node}: times that it became a primary",
                event.node,
                "",
            )
        if isinstance(event, (LockLost, CircularWait)):
            return self._say_lock(event)
        return None

    def _say_degraded(self, event: Degraded) -> Said | None:
        voice = self._voices.get(event.alias, Voice())
        if not voice.log_degraded:
            return None
        return Said(
            ("degraded", event.alias),
            voice.logger,
            logging.WARNING,
            "%s: %s was answered without the server: %s",
            (event.alias, event.name, event.error),
            f"{event.alias}: operations answered without the server",
            voice.node,
            str(event.error),
        )

    def _say_lock(self, event: LockLost | CircularWait) -> Said:
        logger = self._voices.get(event.alias, Voice()).logger
        if isinstance(event, CircularWait):
            return Said(
                ("circular wait", event.alias, *sorted(event.names)),
                logger,
                logging.WARNING,
                "%s: %s",
                (event.alias, event.detail),
                f"{event.alias}: possible deadlocks",
                "",
            )
        return Said(
            ("lost", event.alias),
            logger,
            logging.WARNING,
            "%s: the %s %r was lost while it was held: %s",
            (event.alias, event.kind, event.name, event.reason),
            f"{event.alias}: locks lost while they were held",
            "",
            f"{event.name!r}: {event.reason}",
        )

    def _say_breaker(self, event: BreakerChanged) -> Said | None:
        if event.state == "half-open":
            return None
        if event.state == "open":
            first, what = "%s failed and is left alone: %s", "times left alone"
            arguments: tuple[object, ...] = (event.node, event.error)
        else:
            first, what = "%s answers again", "times back"
            arguments = (event.node,)
        # Both at one level: whoever sees it go must see it come back.
        return Said(
            ("breaker", event.node, event.state),
            self._logger_of(event),
            logging.WARNING,
            first,
            arguments,
            f"{event.node}: {what}",
            event.node,
            recovers=event.state == "closed",
        )

    def _logger_of(self, event: Retried | BreakerChanged | Promoted) -> str:
        """Return the logger of the alias, or of the first one on this node."""
        # A link belongs to every alias with its configuration.
        if event.alias in self._voices and event.alias:
            return self._voices[event.alias].logger
        for each in list(self._voices.values()):
            if each.node == event.node:
                return each.logger
        return LOGGER

    # Bursts; all with the lock held

    def _count(self, said: Said, now: float) -> list[Line]:
        lines: list[Line] = []
        burst = self._bursts.pop(said.subject, None)
        if burst is None:
            if len(self._bursts) >= self._most:
                # In order of their last event: the first was silent longest.
                oldest = self._bursts.pop(next(iter(self._bursts)))
                if oldest.count:
                    lines.append(_summary(oldest))
            burst = Burst(said.logger, said.level, said.what, said.node, now, now)
            lines.append((said.logger, said.level, said.first, said.arguments))
            if said.recovers:
                lines += self._recovered(said.node)
        else:
            burst.count += 1
            burst.last = now
            burst.detail = said.detail
            if now - burst.told >= self._every:
                lines.append(_summary(burst))
                burst.told = now
                burst.count = 0
        self._bursts[said.subject] = burst
        return lines

    def _ended(self, now: float) -> list[Line]:
        lines: list[Line] = []
        while self._bursts:
            subject = next(iter(self._bursts))
            burst = self._bursts[subject]
            if now - burst.last < self._quiet:
                break
            del self._bursts[subject]
            if burst.count:
                lines.append(_summary(burst))
        return lines

    def _recovered(self, node: str) -> list[Line]:
        """Tell what its failure came to; the silence about it goes on."""
        lines: list[Line] = []
        for burst in self._bursts.values():
            if burst.node == node and burst.count:
                lines.append(_summary(burst))
                burst.count = 0
                burst.told = burst.last
        return lines


def _summary(burst: Burst) -> Line:
    seconds = burst.last - burst.told
    text = "%s: %d more within %.0f s"
    arguments: tuple[object, ...] = (burst.what, burst.count, seconds)
    if burst.detail:
        text += "; the last: %s"
        arguments += (burst.detail,)
    return burst.logger, burst.level, text, arguments


def _write(lines: list[Line]) -> None:
    for name, level, text, arguments in lines:
        logging.getLogger(name).log(level, text, *arguments)


def _names(commands: tuple[str, ...]) -> str:
    if len(commands) <= 3:
        return ", ".join(commands)
    return f"{commands[0]} and {len(commands) - 1} more"


event_log = EventLog()
"""The process' own; it listens from the first alias on."""

_KINDS = (
    Degraded,
    Refused,
    Retried,
    BreakerChanged,
    Promoted,
    LockLost,
    CircularWait,
)

_started = threading.Lock()
_listens = False


def log_alias(alias: str, voice: Voice) -> None:
    """Have an alias' events logged; the first call begins to listen.

    It listens to what goes wrong, not to `Operation` events: those cost nothing
    as long as nobody else asks for them.
    """
    global _listens
    event_log.add(alias, voice)
    with _started:
        if not _listens:
            _listens = True
            events.subscribe(event_log, *_KINDS)


def _after_fork() -> None:
    global _started
    _started = threading.Lock()
    event_log.forget_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
