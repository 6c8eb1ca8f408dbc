"""Operations that take turns: one of each, in random order, again and again.

A round trip on loopback takes 20 us or 80, by whether the processor has gone to sleep
meanwhile, and that goes on for as long as somebody keeps it awake. An operation of a
few round trips is compared with another one only if both are in the same mood, so here
they come one by one, and not in slices.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Mapping

from benchmarks.contestants import AsyncOperation
from benchmarks.floor import Operation
from benchmarks.interleave import Sample, Samples

WARM = 20
"""Turns before the first that counts."""


class Tally:
    """What each operation took in a round."""

    def __init__(self) -> None:
        self._walls: defaultdict[str, float] = defaultdict(float)
        self._cpus: defaultdict[str, float] = defaultdict(float)

    def add(self, name: str, wall: float, cpu: float) -> None:
        """Count an operation that began at these readings, and has just ended."""
        self._walls[name] += time.perf_counter() - wall
        self._cpus[name] += time.process_time() - cpu

    def into(self, found: dict[str, Samples], turns: int) -> None:
        """Add the round to what was measured, in microseconds an operation."""
        for name, wall in self._walls.items():
            sample = Sample(wall / turns * 1e6, self._cpus[name] / turns * 1e6)
            found[name].rounds.append(sample)


def measure(
    operations: Mapping[str, Operation], rounds: int, turns: int
) -> dict[str, Samples]:
    """Return the samples of each operation, one a round of so many turns."""
    found = {name: Samples() for name in operations}
    _play(operations, WARM, Tally())
    for _ in range(rounds):
        tally = Tally()
        _play(operations, turns, tally)
        tally.into(found, turns)
    return found


def _play(operations: Mapping[str, Operation], turns: int, tally: Tally) -> None:
    order = list(operations.items())
    for _ in range(turns):
        random.shuffle(order)
        for name, operation in order:
            cpu, wall = time.process_time(), time.perf_counter()
            operation()
            tally.add(name, wall, cpu)


async def ameasure(
    operations: Mapping[str, AsyncOperation], rounds: int, turns: int
) -> dict[str, Samples]:
    """Return the same of coroutines, each awaited before the next begins."""
    found = {name: Samples() for name in operations}
    await _aplay(operations, WARM, Tally())
    for _ in range(rounds):
        tally = Tally()
        await _aplay(operations, turns, tally)
        tally.into(found, turns)
    return found


async def _aplay(
    operations: Mapping[str, AsyncOperation], turns: int, tally: Tally
) -> None:
    order = list(operations.items())
    for _ in range(turns):
        random.shuffle(order)
        for name, operation in order:
            cpu, wall = time.process_time(), time.perf_counter()
            await operation()
            tally.add(name, wall, cpu)
