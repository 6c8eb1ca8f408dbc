"""Everything at once: connections are cut, reset, stalled, chopped and killed, tasks
are cancelled, and a signal interrupts the main thread, all while books are kept.

Each worker has a `Ledger`. An operation that was stopped from outside, by a
cancellation or by an interrupt, is in doubt: it may have been applied once. The
server has the last word.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from redpony.errors import RedponyError
from tests.faults.ledger import MIX, Ledger
from tests.faults.slots import left_in_use
from tests.proxy import Proxy
from tests.servers import Server
from tests.wire.chaos import Vandal
from tests.wire.fuzz import INTERRUPTS, Interrupt

PATIENCE = 30.0
OPTIONS: dict[str, Any] = {
    "DEADLINE": 0.1,
    "CONNECT_TIMEOUT": 0.2,
    # It would keep everybody from being hurt.
    "BREAKER": {"FAILURES": 10**9},
}


class Stopped(RedponyError):
    """Stands for what stopped an operation from outside."""

    outcome = "unknown"


class Melee:
    """Threads, tasks and the main thread on one cache, behind a proxy that is hurt."""

    def __init__(
        self,
        server: Server,
        cache_on: Callable[..., Any],
        *,
        threads: int = 4,
        tasks: int = 16,
        seed: int = 0,
    ) -> None:
        self.server = server
        self.seed = seed
        self.random = random.Random(seed)
        self.figures: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._cache_on = cache_on
        self._threads = threads
        self._tasks = tasks
        self._ledgers: list[Ledger] = []
        self._raised: list[BaseException] = []
        self._over = threading.Event()
        self._struck = False

    def run(self, operations: int) -> Counter[str]:
        """Make so many operations, and return what they came to."""
        goal = operations
        with Proxy((self.server.host, self.server.port)) as proxy:
            cache = self._cache_on(None, LOCATION=proxy.url, **OPTIONS)
            others = [
                threading.Thread(target=self._block, args=(cache, number))
                for number in range(self._threads)
            ]
            others.append(threading.Thread(target=self._await_all, args=(cache,)))
            with Vandal(proxy, self.server, self.seed):
                for thread in others:
                    thread.start()
                try:
                    self._be_interrupted(cache, goal)
                finally:
                    self._over.set()
                    for thread in others:
                        thread.join(PATIENCE)
            if self._raised:
                raise self._raised[0]
            self.figures["slots"] = left_in_use(cache.alias.link)
            cache.alias.link.close()
            self._audit(cache)
        for ledger in self._ledgers:
            self.figures += ledger.figures
            self.complaints += ledger.complaints
        return self.figures

    def _ledger(self, name: str) -> Ledger:
        ledger = Ledger(f"{name}-{self.seed}", self.seed, fillers=(0, 10, 500))
        self._ledgers.append(ledger)
        return ledger

    @property
    def _count(self) -> int:
        return sum(ledger.figures["operations"] for ledger in self._ledgers)

    # -- blocking -------------------------------------------------------------

    def _block(self, cache: Any, number: int) -> None:
        operations = self._ledger(f"t{number}").operations(MIX)
        try:
            method, args = next(operations)
            while not self._over.is_set():
                result, error = None, None
                try:
                    result = getattr(cache, method)(*args)
                except RedponyError as caught:
                    error = caught
                method, args = operations.send((result, error))
        except BaseException as raised:
            self._raised.append(raised)
            self._over.set()

    # -- asyncio ----------------------------------------------------------------

    def _await_all(self, cache: Any) -> None:
        async def everybody() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(self._tasks):
                    group.create_task(self._be_cancelled(cache, number))

        try:
            asyncio.run(everybody())
        except BaseException as raised:
            self._raised.append(raised)
            self._over.set()

    async def _be_cancelled(self, cache: Any, number: int) -> None:
        ledger = self._ledger(f"a{number}")
        operations = ledger.operations(MIX)
        rng = random.Random(f"{self.seed}:{number}")
        method, args = next(operations)
        while not self._over.is_set():
            result, error = None, None
            task = asyncio.ensure_future(getattr(cache, f"a{method}")(*args))
            if rng.random() < 0.5:
                for _ in range(rng.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                result = await task
            except asyncio.CancelledError:
                if not task.cancelled():
                    raise
                ledger.figures["cancelled"] += 1
                error = Stopped()
            except RedponyError as caught:
                error = caught
            method, args = operations.send((result, error))

    # -- signals ------------------------------------------------------------------

    def _be_interrupted(self, cache: Any, goal: int) -> None:
        """Work in the main thread until all together have done enough."""

        def strike(*_: Any) -> None:
            found = self.random.choice(INTERRUPTS)
            # Those that look like an OSError may fall into the closing of a socket.
            self._struck = found is Interrupt
            raise found

        def hook(unraisable: Any) -> None:
            if isinstance(unraisable.exc_value, Interrupt):
                # In a destructor: Python lets nothing out of it.
                self._struck = False
            elif not isinstance(unraisable.exc_value, ResourceWarning):
                self.complaints.append(repr(unraisable.exc_value))

        ledger = self._ledger("main")
        operations = ledger.operations(MIX)
        handler = signal.signal(signal.SIGALRM, strike)
        before, sys.unraisablehook = sys.unraisablehook, hook
        try:
            method, args = next(operations)
            while not self._over.is_set() and self._count < goal:
                met = self._interrupted_call(cache, method, args, ledger)
                method, args = operations.send(met)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            sys.unraisablehook = before

    def _interrupted_call(
        self, cache: Any, method: str, args: tuple[Any, ...], ledger: Ledger
    ) -> tuple[Any, RedponyError | None]:
        soon = self.random.uniform(1e-6, self.random.choice((1e-4, 2e-3, 2e-2)))
        call = getattr(cache, method)
        self._struck = False
        result, failure = None, None
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, soon)
                result = call(*args)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupt:
            ledger.figures["interrupted"] += 1
            return None, Stopped()
        except RedponyError as error:
            failure = error
        if self._struck:
            # Its caller has not heard of it: it was taken for something else.
            ledger.figures["masked"] += 1
            return None, Stopped()
        return result, failure

    # -- the end --------------------------------------------------------------------

    def _audit(self, cache: Any) -> None:
        """Compare the books with the server, once it has read what was cut off."""
        end = time.monotonic() + PATIENCE
        while self.server.users() and time.monotonic() < end:
            time.sleep(0.01)
        for ledger in self._ledgers:
            count = answered(cache, "get", ledger.counter, 0)
            ledger.audit(count, answered(cache, "lrange", ledger.list, 0, -1))
        cache.alias.link.close()


def answered(cache: Any, method: str, *args: Any) -> Any:
    """Ask until there is an answer."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return getattr(cache, method)(*args)
        except RedponyError:
            if time.monotonic() > end:
                raise
