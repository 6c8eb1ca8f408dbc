"""A run's results as plain data: what is written as JSON and read by reports.

`rows[row][contestant]` has medians of microseconds, and ratios to the floor and
of the best peer to ours as `[median, smallest, largest]` over the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.contestants import PEERS
from benchmarks.interleave import Sample, Samples

Results = dict[str, Any]
Ratio = list[float]


def summarise(samples: dict[str, Samples]) -> dict[str, dict[str, Any]]:
    """Return one row's figures by contestant."""
    floor = samples.get("floor")
    best = best_peer(samples)
    row: dict[str, dict[str, Any]] = {}
    for name, taken in samples.items():
        walls, cpus = taken.walls(), taken.cpus()
        if not walls:
            row[name] = {"error": taken.error or "not measured"}
            continue
        figures: dict[str, Any] = {
            "wall_us": statistics.median(walls),
            "cpu_us": statistics.median(cpus),
            "rounds": len(walls),
            "lost": len(taken.rounds) - len(walls),
        }
        if taken.error:
            figures["error"] = taken.error
        if floor is not None and name != "floor":
            figures["of_floor"] = ratio(pairs(taken, floor))
        if name == "ours" and best is not None:
            figures["best_peer"] = best
            figures["faster_than_best_peer"] = ratio(pairs(samples[best], taken))
        if name == "ours" and "django-redis" in samples:
            theirs = samples["django-redis"]
            figures["faster_than_django_redis"] = ratio(pairs(theirs, taken))
        row[name] = figures
    return row


def best_peer(samples: dict[str, Samples]) -> str | None:
    """Return the cache backend, not ours, with the smallest median time."""
    medians = {
        name: statistics.median(samples[name].walls())
        for name in PEERS
        if name in samples and samples[name].walls()
    }
    return min(medians, key=medians.__getitem__) if medians else None


def ratio(rounds: Iterable[tuple[Sample, Sample]], of: str = "wall") -> Ratio | None:
    """Return the ratio of the first to the second of each round, by clock or CPU."""
    return spread(getattr(one, of) / getattr(other, of) for one, other in rounds)


def spread(values: Iterable[float]) -> Ratio | None:
    """Return the median of some values, the smallest and the largest."""
    found = list(values)
    return [statistics.median(found), min(found), max(found)] if found else None


def pairs(one: Samples, other: Samples) -> list[tuple[Sample, Sample]]:
    """Return the rounds in which both were measured."""
    rounds = zip(one.rounds, other.rounds, strict=False)
    return [(a, b) for a, b in rounds if a is not None and b is not None]
