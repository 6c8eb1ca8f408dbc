"""What happened, newest first: what visitors did, and what Redpony told.

Events of one subject that follow each other closely are one entry that counts, so
that an outage is a few lines and not a thousand.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from outage.servers import name_of
from redpony.events import (
    BreakerChanged,
    Degraded,
    Event,
    Promoted,
    Refused,
    Retried,
    Server,
)

KINDS = (BreakerChanged, Degraded, Promoted, Refused, Retried, Server)
QUIET = 5.0
"""Seconds after which the same is news again."""
KEPT = 60


@dataclass(slots=True)
class Entry:
    """Something that happened once, or several times in a row.

    `mark` is what the strip writes at that moment; nothing, if it is empty.
    """

    at: float
    kind: str
    text: str
    mark: str = ""
    count: int = 1
    last: float = 0.0

    def shown(self) -> dict[str, Any]:
        """Return it for the page, with the moment in ms since the epoch."""
        return {
            "at": round(self.at * 1000),
            "kind": self.kind,
            "text": self.text,
            "mark": self.mark,
            "count": self.count,
        }


class Record:
    """The last entries; events come from any thread."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def tell(self, kind: str, text: str, mark: str = "") -> None:
        """Add an entry, or count it to its like."""
        now = time.time()
        with self._lock:
            for entry in self._entries:
                if entry.kind == "You" or now - entry.at > 60:
                    break
                if (entry.kind, entry.text) == (kind, text) and (
                    now - entry.last < QUIET
                ):
                    entry.count += 1
                    entry.last = now
                    return
            self._entries.appendleft(Entry(now, kind, text, mark, last=now))

    def note(self, event: Event) -> None:
        """Take an event of Redpony's."""
        text, mark = _said(event)
        self.tell(type(event).__name__, text, mark)

    def latest(self) -> list[dict[str, Any]]:
        """Return the entries, newest first."""
        with self._lock:
            return [entry.shown() for entry in self._entries]


def _said(event: Event) -> tuple[str, str]:
    """Return the words for an event, and its mark."""
    if isinstance(event, Degraded):
        return f"{event.name} without the server: {type(event.error).__name__}", ""
    if isinstance(event, BreakerChanged):
        name = name_of(event.node)
        said = {
            "open": f"{name} failed and is left alone",
            "half-open": f"one request looks whether {name} is back",
            "closed": f"{name} answers again",
        }[event.state]
        return said[0].upper() + said[1:], ""
    if isinstance(event, Promoted):
        name = name_of(event.node)
        return (
            f"{name.capitalize()} is a primary now",
            f"{name.removeprefix('node ')} leads",
        )
    if isinstance(event, Retried):
        commands = " ".join(dict.fromkeys(event.commands))
        return f"{commands} was sent again to {name_of(event.node)}", ""
    if isinstance(event, Server):
        mark = event.change if event.change == "started" else ""
        detail = f": {event.detail}" if event.change == "ended" else ""
        return f"The embedded server was {event.change}{detail}", mark
    assert isinstance(event, Refused)
    return f"A stored value was not used: {event.reason}", ""


record = Record()
