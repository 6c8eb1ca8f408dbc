"""Threads and tasks that use one cache while something breaks.

    with workload(cache, threads=8, tasks=16) as load:
        load.go_on()                  # every worker has had an answer
        place.kill()
        load.fails(20)                # 20 more operations have failed
        place.start()
        load.go_on(5)                 # every worker has had five more answers
    figures = load.verdict()

Each worker keeps a `Ledger`. `verdict` compares all books with the server and
asserts what every fault must leave true: no wrong answer, no duplicate effect,
nobody held beyond the deadline, no slot in use.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from redpony.errors import RedponyError
from tests.faults.ledger import MIX, Ledger
from tests.faults.pulse import TICK, Pulse, Stalls
from tests.faults.slots import left_in_use, nodes_of

ROOM = 0.5
"""Seconds beyond the deadline that a slow machine may add."""

PATIENCE = 30.0


@dataclass(eq=False)
class Worker:
    """One thread or task: its books, and how long it was held."""

    ledger: Ledger
    answered: int = 0
    failed: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)
    """From call to answer or error, for every operation."""

    answers: list[tuple[float, float]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    raised: BaseException | None = None

    def note(self, start: float, error: BaseException | None) -> None:
        end = time.monotonic()
        self.spans.append((start, end))
        if error is None:
            self.answered += 1
            self.answers.append((start, end))
        else:
            self.failed += 1
            self.failures[type(error).__name__] += 1


class Load:
    """A crowd of workers, from entering the block to leaving it."""

    def __init__(
        self,
        cache: Any,
        *,
        threads: int = 4,
        tasks: int = 8,
        pace: float = 0.002,
        mix: Mapping[str, int] = MIX,
        seed: int = 0,
        size: int = 3,
        record: Callable[..., None] = lambda **_: None,
        quiet: Callable[[], None] = lambda: None,
        tolerates: frozenset[str] = frozenset(),
    ) -> None:
        self.cache = cache
        self.link = cache.alias.link
        self.pace = pace
        self.mix = dict(mix)
        self._record = record
        self._quiet = quiet
        self._tolerates = tolerates
        self._blocking = [Worker(Ledger(f"t{n}", seed, size)) for n in range(threads)]
        self._awaiting = [Worker(Ledger(f"a{n}", seed, size)) for n in range(tasks)]
        self.workers = [*self._blocking, *self._awaiting]
        self._over = threading.Event()
        self._pulse = Pulse()
        self._loop_stalls = Stalls()
        self._threads: list[threading.Thread] = []

    # -- a block's life -------------------------------------------------------

    def __enter__(self) -> Self:
        self._pulse.__enter__()
        targets: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (self._block, (each,)) for each in self._blocking
        ]
        if self._awaiting:
            targets.append((self._await_all, ()))
        for target, args in targets:
            thread = threading.Thread(target=target, args=args, daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        end = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._pulse.__exit__()
        for worker in self.workers:
            if worker.raised is not None:
                raise worker.raised
        stuck = sum(thread.is_alive() for thread in self._threads)
        assert stuck == 0, f"{stuck} threads did not come back"

    def _block(self, worker: Worker) -> None:
        operations = worker.ledger.operations(self.mix)
        try:
            method, args = next(operations)
            while not self._over.is_set():
                result, error = None, None
                start = time.monotonic()
                try:
                    result = getattr(self.cache, method)(*args)
                except RedponyError as caught:
                    error = caught
                worker.note(start, error)
                method, args = operations.send((result, error))
                self._over.wait(self.pace)
        except BaseException as raised:
            worker.raised = raised

    def _await_all(self) -> None:
        async def work(worker: Worker) -> None:
            operations = worker.ledger.operations(self.mix)
            method, args = next(operations)
            while not self._over.is_set():
                result, error = None, None
                start = time.monotonic()
                try:
                    result = await getattr(self.cache, f"a{method}")(*args)
                except RedponyError as caught:
                    error = caught
                worker.note(start, error)
                method, args = operations.send((result, error))
                await asyncio.sleep(self.pace)

        async def beat() -> None:
            while not self._over.is_set():
                self._loop_stalls.plan()
                await asyncio.sleep(TICK)
                self._loop_stalls.wake()

        async def everybody() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(beat())
                for worker in self._awaiting:
                    group.create_task(work(worker))

        try:
            asyncio.run(everybody())
        except BaseException as raised:
            self._awaiting[0].raised = raised

    # -- waiting for what the workers meet ---------------------------------------

    @property
    def answered(self) -> int:
        return sum(worker.answered for worker in self.workers)

    @property
    def failed(self) -> int:
        return sum(worker.failed for worker in self.workers)

    @property
    def failures(self) -> Counter[str]:
        """Return how often each class of error was met."""
        return sum((worker.failures for worker in self.workers), Counter())

    def until(self, condition: Callable[[], Any], limit: float = PATIENCE) -> None:
        """Wait until something holds; a worker that broke ends the wait."""
        end = time.monotonic() + limit
        while not condition():
            for worker in self.workers:
                if worker.raised is not None:
                    raise worker.raised
            if time.monotonic() > end:
                raise TimeoutError(
                    f"not within {limit} s: {self.answered} answers, "
                    f"failures: {dict(self.failures)}"
                )
            time.sleep(0.002)

    def answers(self, more: int) -> None:
        """Wait until so many more operations have been answered."""
        goal = self.answered + more
        self.until(lambda: self.answered >= goal)

    def fails(self, more: int) -> None:
        """Wait until so many more operations have failed."""
        goal = self.failed + more
        self.until(lambda: self.failed >= goal)

    def go_on(self, more: int = 1) -> None:
        """Wait until every single worker has had so many more answers."""
        goals = [(worker, worker.answered + more) for worker in self.workers]
        self.until(lambda: all(each.answered >= goal for each, goal in goals))

    def longest_gap(self, since: float) -> float:
        """Return the longest time from `since` on in which nobody got an answer."""
        edges = [since, *sorted(end for _, end in self._answers() if end > since)]
        return max((b - a for a, b in itertools.pairwise(edges)), default=0.0)

    def first_answer(self, since: float) -> float:
        """Return how long after a moment an operation that began later was answered."""
        ends = [end - since for start, end in self._answers() if start >= since]
        return min(ends, default=float("inf"))

    def _answers(self) -> list[tuple[float, float]]:
        return [each for worker in self.workers for each in list(worker.answers)]

    # -- the end -----------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """Return the time that an operation may take: it may have to connect."""
        return max(
            max(node.config.deadline, node.config.connect_timeout)
            for node in nodes_of(self.link) or [self.link]
        )

    def held(self) -> tuple[float, float]:
        """Return the longest time held by the clock, and without our machine's."""
        longest = fairly = 0.0
        for worker in self.workers:
            for start, end in worker.spans:
                longest = max(longest, end - start)
                if end - start > fairly:
                    excuse = self._pulse.excused(start, end)
                    if worker in self._awaiting:
                        excuse = max(excuse, self._loop_stalls.within(start, end))
                    fairly = max(fairly, end - start - excuse)
        return longest, fairly

    def verdict(
        self,
        *,
        may_lose: bool = False,
        forgets: bool = False,
        stale_reads: bool = False,
    ) -> Counter[str]:
        """Compare all books with the server, assert, and record the figures.

        `may_lose`: acknowledged data may be gone (a restart without a file, an
        eviction); it is counted. `forgets`: a restart loses all or nothing, so
        counters begin anew. `stale_reads`: older answers are no fault. What the
        place itself does, its replicas or a failover, is tolerated without asking.
        """
        slots = left_in_use(self.link)
        self._settle()
        for worker in self.workers:
            ledger = worker.ledger
            count = self._read("get", ledger.counter, 0)
            ledger.audit(count, self._read("lrange", ledger.list, 0, -1))
        figures: Counter[str] = Counter()
        complaints: list[str] = []
        for worker in self.workers:
            figures += worker.ledger.figures
            complaints += worker.ledger.complaints
        behind = figures.pop("behind", 0)
        if forgets and "lost" not in self._tolerates:
            figures["duplicates"] += behind
        longest, fairly = self.held()
        promised = {name: figures[name] for name in ("wrong", "duplicates")}
        self._record(**{**figures, **promised}, held=longest, slots=slots)
        assert figures["wrong"] == 0, complaints
        assert figures["duplicates"] == 0, complaints
        assert fairly <= self.deadline + ROOM, (
            f"held {longest} s, {fairly} s of it ours"
        )
        assert slots == 0, f"{slots} slots are still in use"
        tolerated = {"lost": may_lose, "stale": stale_reads}
        for name, allowed in tolerated.items():
            allowed = allowed or name in self._tolerates
            assert allowed or figures[name] == 0, complaints
        return figures

    def _settle(self) -> None:
        """Wait until the server has read what was cut off; then ask afresh."""
        self.link.close()
        self._quiet()

    def _read(self, method: str, *args: Any) -> Any:
        """Return what the server has; a breaker may still be open for a while."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return getattr(self.cache, method)(*args)
            except RedponyError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
