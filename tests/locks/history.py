"""What many contenders wrote down, read together; `tests.locks.invariants` judges it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.locks.register import Entry
from tests.locks.spans import Span, union, without


@dataclass
class Holding:
    """One holding, as its holder saw it: it surely had the lock from `began` to `sure`."""

    name: str
    fence: int
    weight: int
    pid: str
    who: str
    began: float
    sure: float
    left: float | None = None

    def __str__(self) -> str:
        return (
            f"{self.name} of {self.pid}-{self.who}, fence {self.fence}, "
            f"{self.began:.3f}-{self.sure:.3f}"
        )


@dataclass
class Waiting:
    """One who wanted something, from when to when, and whether he got it."""

    name: str
    pid: str
    who: str
    began: float
    ended: float = math.inf
    entered: bool = False


@dataclass
class Event:
    """Any other line."""

    at: float
    pid: str
    what: str
    name: str
    who: str
    rest: list[str]

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.pid}-{self.who} {self.name} {' '.join(self.rest)}"


@dataclass
class History:
    """A run: what contenders believed, what was done to them, and what was left."""

    holdings: list[Holding] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    entries: list[Entry] = field(default_factory=list)
    """What the register was asked, in order."""
    calm: Span = (0, 0)
    """When nothing was done to anybody."""
    losses: list[Span] = field(default_factory=list)
    """When the servers may have forgotten locks that they had acknowledged."""
    outages: list[Span] = field(default_factory=list)
    """When there was nobody to ask."""
    stops: list[tuple[str, Span]] = field(default_factory=list)
    """Which process was stopped, and when."""
    deaths: dict[str, float] = field(default_factory=dict)
    """When a process was killed."""
    delays: list[tuple[float, float]] = field(default_factory=list)
    """What may cost whoever is next so many seconds more, and when it was done."""
    findings: list[tuple[str, str]] = field(default_factory=list)
    """What an inspector of the servers complained about: an invariant, and what."""
    streaks: dict[str, float] = field(default_factory=dict)
    """For how long the server had something free, at most, with a live one in line."""
    left: set[bytes] = field(default_factory=set)
    """The keys on the servers after the end, and more than a lease."""
    lag: float = 0.0
    """How much too late the machine let somebody go on who slept, at worst."""

    @property
    def slack(self) -> float:
        """Seconds that are the machine's fault, and not ours."""
        return 0.25 + 5 * self.lag

    def by_name(self) -> dict[str, list[Holding]]:
        """Return the holdings of each thing, by when they began."""
        found: defaultdict[str, list[Holding]] = defaultdict(list)
        for each in sorted(self.holdings, key=lambda each: each.began):
            found[each.name].append(each)
        return found

    def asked(self, holding: Holding) -> float:
        """Return when somebody began to want what he then had."""
        who = holding.name, holding.pid, holding.who
        return max(
            (
                each.began
                for each in self.waits
                if (each.name, each.pid, each.who) == who
                and each.began <= holding.began
            ),
            default=holding.began,
        )

    def told(self, what: str) -> Iterator[Event]:
        """Return the lines of one kind."""
        return (each for each in self.events if each.what == what)

    def idle(self, name: str) -> list[Span]:
        """Return when nobody had a thing, though somebody who could go on wanted it."""
        stopped: defaultdict[str, list[Span]] = defaultdict(list)
        for pid, span in self.stops:
            stopped[pid].append(span)
        wanted = []
        for each in self.waits:
            if each.name != name:
                continue
            ended = min(each.ended, self.deaths.get(each.pid, math.inf))
            if ended < math.inf and ended > each.began:
                wanted += without([(each.began, ended)], union(stopped[each.pid]))
        held = [
            (each.began, each.left or each.sure)
            for each in self.holdings
            if each.name == name
        ]
        return without(without(union(wanted), union(held)), union(self.outages))


def read(path: Path) -> History:
    """Return the history that a diary tells."""
    history = History()
    lines = [line.split() for line in path.read_text().splitlines()]
    has: dict[tuple[str, str], Holding] = {}
    wants: dict[tuple[str, str], Waiting] = {}
    for at, pid, what, name, who, *rest in sorted(
        lines, key=lambda each: float(each[0])
    ):
        history.counts[what] += 1
        moment, me = float(at), (pid, who)
        if what in ("enter", "late", "quit") and me in wants:
            wants[me].ended = moment
            wants.pop(me).entered = what == "enter"
        if what in ("leave", "quit") and me in has:
            has.pop(me).left = moment
        if what == "want":
            wants[me] = Waiting(name, pid, who, moment)
            history.waits.append(wants[me])
        elif what == "enter":
            fence, weight = map(int, rest)
            has[me] = Holding(name, fence, weight, pid, who, moment, moment)
            history.holdings.append(has[me])
        elif what == "sure":
            has[me].sure = moment
        else:
            history.events.append(Event(moment, pid, what, name, who, rest))
            if what == "quit":
                history.counts[rest[0]] += 1
            elif what == "write":
                history.counts[rest[1].partition("-")[0]] += 1
    return history
