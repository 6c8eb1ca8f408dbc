"""Threads that use one cache while it is hurt, each with books of its own.

What is counted, for the calls that began while the fault was in force: how long
each was held, whether it was answered (no exception), and that within a second, and
whether an answer was wrong. An increment that ran more often than it was called is a duplicate. A call
that is still held when our patience is at its end counts as not answered.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from django.core.cache import caches

from benchmarks.faults.contestants import stored

PACE = 0.005
PATIENCE = 12.0
PROMPT = 1.0
"""Seconds: who has an answer later has waited for longer than a page may take."""


@dataclass
class Call:
    """One call: when, which, and what it came to."""

    start: float
    method: str
    end: float | None = None
    error: str = ""
    hollow: bool = False
    """Whether it was answered with nothing where a value is due."""

    def seconds(self, now: float) -> float:
        """Return how long it was held, until now if it still is."""
        return (self.end or now) - self.start


class Worker(threading.Thread):
    """One caller: sets a key, reads it back, counts, in turn."""

    def __init__(
        self,
        number: int,
        over: threading.Event,
        methods: str,
        is_stored: Callable[[Any], bool],
    ) -> None:
        super().__init__(daemon=True)
        self.key = f"key:{number}"
        self.counter = f"count:{number}"
        self.calls: list[Call] = []
        self.wrong = self.duplicates = 0
        self._over = over
        self._methods = methods.split()
        self._is_stored = is_stored
        self._now: Any = None
        self._doubts: set[int] = set()
        self._counted = 0
        self._counts_in_doubt = 0
        self._number = 0

    def run(self) -> None:
        # Django makes a cache for every thread.
        cache = caches["default"]
        while not self._over.is_set():
            method = self._methods[len(self.calls) % len(self._methods)]
            call = Call(time.monotonic(), method)
            self.calls.append(call)
            try:
                getattr(self, f"_{method}")(cache, call)
            except Exception as error:  # which one is a figure
                call.error = type(error).__name__
            call.end = time.monotonic()
            self._over.wait(PACE)

    def _set(self, cache: Any, call: Call) -> None:
        self._number += 1
        self._doubts.add(self._number)
        answer = cache.set(self.key, [self.key, self._number], None)
        call.hollow = not self._is_stored(answer)
        if not call.hollow:
            self._doubts.discard(self._number)
            self._now = self._number

    def _get(self, cache: Any, call: Call) -> None:
        found = cache.get(self.key)
        if found is None:
            call.hollow = True
        elif found[0] != self.key or found[1] not in {self._now, *self._doubts}:
            self.wrong += 1

    def _incr(self, cache: Any, call: Call) -> None:
        self._counts_in_doubt += 1
        try:
            found = cache.incr(self.counter)
        except ValueError:
            # The key is not there: it was restarted, or never was.
            self._counts_in_doubt -= 1
            cache.set(self.counter, 0, None)
            self._counted = 0
            return
        if found is None:
            call.hollow = True
            return
        self._counts_in_doubt -= 1
        self._count(int(found), self._counted + 1)

    def _count(self, found: int, least: int) -> None:
        over = found - least - self._counts_in_doubt
        if over > 0:
            self.duplicates += over
        self._counts_in_doubt = max(0, min(self._counts_in_doubt, -over))
        self._counted = found

    def audit(self, found: Any) -> None:
        """Compare with the counter as the server has it in the end."""
        if found is not None:
            self._count(int(found), self._counted)


@dataclass
class Crowd:
    """A number of workers, from entering the block to leaving it."""

    name: str
    size: int = 4
    methods: str = "set get incr get"
    began: float = 0.0
    ended: float = 0.0
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.workers = [
            Worker(number, self._over, self.methods, partial(stored, self.name))
            for number in range(self.size)
        ]
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        end = time.monotonic() + PATIENCE
        for worker in self.workers:
            worker.join(max(0.0, end - time.monotonic()))

    def warm(self, calls: int = 8) -> None:
        """Wait until every worker has made so many calls."""
        while min(len(worker.calls) for worker in self.workers) <= calls:
            time.sleep(0.005)

    def begin(self) -> None:
        """The fault is about to begin."""
        self.began = time.monotonic()

    def end(self) -> None:
        """The fault is over."""
        self.ended = time.monotonic()

    def figures(self) -> dict[str, Any]:
        """Return what the calls under the fault came to."""
        now = time.monotonic()
        calls = [
            call
            for worker in self.workers
            for call in list(worker.calls)
            # Those under way when it began belong to it.
            if (call.end or now) >= self.began and call.start <= self.ended
        ]
        held = [call.seconds(now) for call in calls]
        answered = [call for call in calls if call.end and not call.error]
        return {
            "calls": len(calls),
            "answered": len(answered),
            "prompt": sum(call.seconds(now) <= PROMPT for call in answered),
            "hollow": sum(call.hollow for call in answered),
            "held": max(held, default=0.0),
            "still_held": sum(call.end is None for call in calls),
            "errors": dict(Counter(call.error for call in calls if call.error)),
            "wrong": sum(worker.wrong for worker in self.workers),
            "duplicates": sum(worker.duplicates for worker in self.workers),
        }
