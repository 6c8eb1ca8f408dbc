"""What many contenders wrote down, held against what a lock promises."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


@dataclass
class Holding:
    """One holding, as its holder saw it: it surely had the lock from `began` to `sure`."""

    name: str
    fence: int
    who: str
    began: float
    sure: float
    left: float | None = None


@dataclass
class History:
    """All events of a run, in order."""

    holdings: list[Holding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    waits: dict[tuple[str, str], float] = field(default_factory=dict)

    def overlaps(self) -> list[tuple[Holding, Holding]]:
        """Return pairs of holdings of one lock that surely were at the same time."""
        found = []
        for mine in self._by_name().values():
            latest = mine[0]
            for each in mine[1:]:
                if each.began < latest.sure:
                    found.append((latest, each))
                if each.sure > latest.sure:
                    latest = each
        return found

    def disorder(self) -> list[tuple[Holding, Holding]]:
        """Return neighbours in time whose fences do not grow.

        A holder writes down that it entered after it has entered: who was stopped
        in between may come later in the file than its successor.
        """
        found = []
        for mine in self._by_name().values():
            best = mine[0]
            for each in mine[1:]:
                if each.fence <= best.fence and each.sure > each.began:
                    found.append((best, each))
                if each.fence > best.fence:
                    best = each
        return found

    def twins(self) -> list[int]:
        """Return fences that were given twice."""
        given = Counter((each.name, each.fence) for each in self.holdings)
        return [fence for (_, fence), times in given.items() if times > 1]

    def longest_gap(self) -> float:
        """Return the longest time for which a lock was entered by nobody."""
        gaps = [0.0]
        for mine in self._by_name().values():
            for before, after in pairwise(mine):
                gaps.append(after.began - (before.left or before.sure))
        return max(gaps)

    def _by_name(self) -> dict[str, list[Holding]]:
        found: defaultdict[str, list[Holding]] = defaultdict(list)
        for each in sorted(self.holdings, key=lambda each: each.began):
            found[each.name].append(each)
        return found


def read(path: Path) -> History:
    """Return the history that a file holds."""
    history = History()
    open_: dict[tuple[str, str, str], Holding] = {}
    lines = [line.split() for line in path.read_text().splitlines()]
    for at, pid, what, name, who, *rest in sorted(
        lines, key=lambda each: float(each[0])
    ):
        history.counts[what] += 1
        if what == "quit":
            history.counts[rest[0]] += 1
            continue
        if what in ("want", "late"):
            continue
        key = (pid, name, f"{who} {rest[0]}")
        moment = float(at)
        if what == "enter":
            holding = Holding(name, int(rest[0]), f"{pid} {who}", moment, moment)
            history.holdings.append(holding)
            open_[key] = holding
        elif what == "sure":
            open_[key].sure = moment
        elif what == "leave":
            open_[key].left = moment
    return history
