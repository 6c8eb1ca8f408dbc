"""Rounds in which every contestant runs a short slice, in random order.

A machine's speed drifts: other work, clock rates, the kernel's mood. So no two
contestants are compared across the run. Each round gives one time for each, a
ratio is taken within a round, and what is reported is the median of the ratios
with their smallest and largest.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from threading import local

from benchmarks.contestants import Contestant, checks
from benchmarks.floor import Operation
from benchmarks.rows import Row


@dataclass(frozen=True)
class Sample:
    """One slice: microseconds per operation, by the clock and by the CPU."""

    wall: float
    cpu: float


@dataclass
class Samples:
    """One contestant in one row, a sample a round; None where it failed."""

    rounds: list[Sample | None] = field(default_factory=list)
    error: str | None = None

    def walls(self) -> list[float]:
        return [sample.wall for sample in self.rounds if sample]

    def cpus(self) -> list[float]:
        return [sample.cpu for sample in self.rounds if sample]


Slice = Callable[[int], Sample]


@dataclass(frozen=True)
class Effort:
    """How many rounds, and how many seconds a slice takes."""

    rounds: int
    seconds: float


FULL = Effort(rounds=31, seconds=0.02)
QUICK = Effort(rounds=7, seconds=0.008)


def measure(
    row: Row,
    contestants: Iterable[Contestant],
    effort: Effort,
    runner: asyncio.Runner,
) -> dict[str, Samples]:
    """Run one row; a contestant that cannot is reported with its error.

    All asyncio rows share the runner's event loop, because one peer keeps
    connections of the first loop that it met and fails in any other.
    """
    found: dict[str, Samples] = {}
    slices: dict[str, tuple[Slice, int]] = {}
    with contextlib.ExitStack() as stack:
        for contestant in contestants:
            samples = found[contestant.name] = Samples()
            try:
                run = prepare(row, contestant, runner, stack)
                slices[contestant.name] = run, _size(run, row, effort.seconds)
            except Exception as error:  # reported in place of figures
                samples.error = f"{type(error).__name__}: {error}"
        order = list(slices)
        for _ in range(effort.rounds):
            random.shuffle(order)
            for name in order:
                run, size = slices[name]
                try:
                    sample = run(size)
                except Exception as error:  # one lost slice is not the row
                    found[name].rounds.append(None)
                    found[name].error = f"{type(error).__name__}: {error}"
                else:
                    found[name].rounds.append(sample)
    return found


def prepare(
    row: Row,
    contestant: Contestant,
    runner: asyncio.Runner,
    stack: contextlib.ExitStack,
) -> Slice:
    """Return the slice of a contestant, its answer checked once."""
    if row.kind == "async":
        return _prepare_async(row, contestant, runner)
    operation = contestant.sync(row)
    if not checks(contestant, row, operation()):
        raise AssertionError("a wrong answer")
    if row.kind == "threads":
        return _prepare_threads(row, contestant, stack)

    def run(count: int) -> Sample:
        cpu, wall = time.thread_time(), time.perf_counter()
        for _ in repeat(None, count):
            operation()
        return _sample(count, wall, cpu, time.thread_time())

    return run


def _prepare_threads(
    row: Row, contestant: Contestant, stack: contextlib.ExitStack
) -> Slice:
    pool = stack.enter_context(ThreadPoolExecutor(row.concurrency))
    own = local()

    def share(count: int) -> None:
        operation: Operation | None = getattr(own, "operation", None)
        if operation is None:
            operation = own.operation = contestant.sync(row)
        for _ in repeat(None, count):
            operation()

    def run(count: int) -> Sample:
        each = max(1, count // row.concurrency)
        cpu, wall = time.process_time(), time.perf_counter()
        futures = [pool.submit(share, each) for _ in range(row.concurrency)]
        for future in futures:
            future.result()
        return _sample(each * row.concurrency, wall, cpu, time.process_time())

    run(row.concurrency * 20)
    return run


def _prepare_async(row: Row, contestant: Contestant, runner: asyncio.Runner) -> Slice:
    operation = runner.run(contestant.asynchronous(row))

    async def once() -> object:
        return await operation()

    if not checks(contestant, row, runner.run(once())):
        raise AssertionError("a wrong answer")

    async def share(count: int) -> None:
        for _ in repeat(None, count):
            await operation()

    async def slice_(count: int) -> Sample:
        each = max(1, count // row.concurrency)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(share(each) for _ in range(row.concurrency)))
        return _sample(each * row.concurrency, wall, cpu, time.process_time())

    def run(count: int) -> Sample:
        return runner.run(slice_(count))

    run(row.concurrency * 2)
    return run


def _sample(count: int, wall: float, cpu: float, cpu_end: float) -> Sample:
    elapsed = time.perf_counter() - wall
    return Sample(elapsed / count * 1e6, (cpu_end - cpu) / count * 1e6)


def _size(run: Slice, row: Row, seconds: float) -> int:
    """Return how many operations fill a slice; a multiple of the concurrency."""
    at_least = row.concurrency * (5 if row.kind != "sync" else 1)
    run(at_least)
    typical = statistics.median(run(at_least * 4).wall for _ in range(3))
    wanted = int(seconds * 1e6 / typical)
    return max(at_least, wanted - wanted % row.concurrency)
