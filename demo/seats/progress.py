"""How a sale goes, put together from what its buyers' processes tell.

Their times are readings of one clock, which all processes of a machine share.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any

KEPT = 60

TOLD = {
    "has": "has the lock",
    "pays": "pays for {seat}",
    "stopped": "is stopped, after paying for {seat}",
    "awake": "wakes up, and writes",
    "sold": "has a ticket for {seat}",
    "refused": "comes too late: refused by its fence",
    "failed": "buys nothing: {why}",
}
"""What the page writes of what happens; the rest is only counted."""


@dataclass
class Progress:
    """One sale, from the press of the button."""

    sale: int
    way: str
    flight: str
    phase: str = "coming"
    waiting: dict[int, float] = field(default_factory=dict)
    """Who waits for the lock, and since when."""
    line: list[int] = field(default_factory=list)
    """Who stands in the server's line, first to last."""
    holder: int | None = None
    stopped: int | None = None
    fence: int = 0
    refused: int = 0
    went_away: int = 0
    failed: int = 0
    hand_overs: list[float] = field(default_factory=list)
    take_over: float | None = None
    """Seconds from when the holder was stopped until somebody else had the lock."""
    entries: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _begun: float = 0.0
    _freed: float | None = None
    _stopped: float | None = None

    def note(self, news: dict[str, Any]) -> None:
        """Take a line that a process wrote."""
        what, at, buyer = news["what"], news["at"], news.get("buyer", 0)
        if what == "open":
            self.phase, self._begun = "selling", at
        elif what == "line":
            self.line = news["buyers"]
        elif what == "waits":
            self.waiting[buyer] = at
        elif what == "has":
            self._enter(buyer, at, news.get("fence", 0))
        elif what == "leaves":
            if self.holder == buyer:
                self.holder, self._freed = None, at
        elif what == "stopped":
            self.stopped, self._stopped = buyer, at
        elif what == "awake":
            self.stopped = None
        elif what == "refused":
            self.refused += 1
        elif what == "sold out":
            self.went_away += 1
        elif what == "failed":
            self.failed += 1
            self.waiting.pop(buyer, None)
        if what in TOLD:
            text = TOLD[what].format_map(news)
            kind = {"has": "lock", "sold": "sold", "pays": "pays"}.get(what, what)
            self.entries.appendleft(
                {"at": at - self._begun, "buyer": buyer, "kind": kind, "text": text}
            )

    def _enter(self, buyer: int, at: float, fence: int) -> None:
        since = self.waiting.pop(buyer, at)
        if self._freed is not None and since < self._freed:
            self.hand_overs.append(at - self._freed)
        elif self._stopped is not None and self.take_over is None:
            self.take_over = at - self._stopped
        self.holder, self._freed = buyer, None
        self.fence = max(self.fence, fence)

    def end(self) -> None:
        """All buyers are gone."""
        self.waiting.clear()
        self.holder = self.stopped = None
        self.phase = "over"

    @property
    def queue(self) -> list[int]:
        """Who waits, in the order of the line where there is one."""
        if self.way == "lock":
            return [each for each in self.line if each in self.waiting]
        return sorted(self.waiting, key=self.waiting.__getitem__)

    @property
    def typical(self) -> float | None:
        """The median of the hand-overs, in ms."""
        return 1000 * median(self.hand_overs) if self.hand_overs else None

    @property
    def slowest(self) -> float | None:
        """The longest hand-over, in ms."""
        return 1000 * max(self.hand_overs) if self.hand_overs else None
