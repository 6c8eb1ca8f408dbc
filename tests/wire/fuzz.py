"""Operations that are cancelled or interrupted anywhere, each answer verified.

Short forms run with the suite, long ones under `make soak`. A run returns what
it has counted; a wrong answer ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from redpony.commands import ECHO
from redpony.plan import Batch
from redpony.wire.link import Link
from tests.wire.links import one, several


@dataclass(slots=True)
class Counts:
    """What a run came to."""

    answered: int = 0
    stopped: int = 0
    swallowed: int = 0
    wrong: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def check(self, expected: bytes, got: bytes) -> None:
        self.answered += 1
        if got != expected:
            self.wrong.append(f"{expected!r} was answered with {got!r}")
            raise AssertionError(self.wrong[-1])


# -- asyncio ----------------------------------------------------------------


class Stop(Exception):
    """Ends a task group from within."""


class Cancels:
    """Cancels operations after a random number of steps of the loop."""

    def __init__(self, link: Link, seed: int) -> None:
        self.link = link
        self.random = random.Random(seed)
        self.counts = Counts()
        self._numbers = itertools.count()

    def run(self, operations: int) -> Counts:
        """Stop so many operations, in a loop of their own."""
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(
                lambda _, context: self.counts.complaints.append(str(context))
            )
            runner.run(self._work(operations))
            gc.collect()
        gc.collect()
        return self.counts

    async def _work(self, operations: int) -> None:
        ways = (self._by_steps, self._by_steps, self._by_time, self._by_group)
        while self.counts.stopped < operations:
            await self.random.choice(ways)()
            await self._echo()

    async def _echo(self) -> None:
        """One operation whose answer nobody else can have."""
        number = b"%d" % next(self._numbers)
        self.counts.check(number, await self.link.arun(one(ECHO(number))))

    async def _batch(self) -> None:
        numbers = [b"%d" % next(self._numbers) for _ in range(3)]
        commands = [ECHO(number) for number in numbers]
        replies = await self.link.arun(several(Batch(commands)))
        self.counts.check(b" ".join(numbers), b" ".join(replies.check()))

    def _start(self) -> asyncio.Task[None]:
        operation = self._batch if self.random.random() < 0.2 else self._echo
        return asyncio.create_task(operation())

    async def _by_steps(self) -> None:
        tasks = [self._start() for _ in range(self.random.choice((1, 3, 20, 60)))]
        for _ in range(self.random.randrange(12)):
            for task in tasks:
                if self.random.random() < 0.2:
                    task.cancel()
                    if self.random.random() < 0.1:
                        task.cancel()
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await self._settle(tasks)

    async def _by_time(self) -> None:
        async def limited() -> None:
            async with asyncio.timeout(self.random.uniform(0, 0.002)):
                for _ in range(5):
                    await self._echo()

        tasks = [asyncio.create_task(limited()) for _ in range(20)]
        await self._settle(tasks)

    async def _by_group(self) -> None:
        async def fails() -> None:
            for _ in range(self.random.randrange(10)):
                await asyncio.sleep(0)
            raise Stop

        started: list[asyncio.Task[None]] = []
        with contextlib.suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                started.extend(group.create_task(self._echo()) for _ in range(20))
                group.create_task(fails())
        await self._settle(started)

    async def _settle(self, tasks: list[asyncio.Task[None]]) -> None:
        for met in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(met, (asyncio.CancelledError, TimeoutError)):
                self.counts.stopped += 1
            elif met is not None:
                raise met


# -- signals ----------------------------------------------------------------


class Interrupt(Exception):
    """What a signal's handler raises: a worker's soft time limit, for one."""


class LateInterrupt(Interrupt, TimeoutError):
    """One that looks like a deadline."""


class LostInterrupt(Interrupt, ConnectionResetError):
    """One that looks like the server's doing."""


INTERRUPTS = (Interrupt, LateInterrupt, LostInterrupt)


class Interrupts:
    """Interrupts blocking operations after a random number of microseconds."""

    def __init__(self, link: Link, seed: int) -> None:
        self.link = link
        self.random = random.Random(seed)
        self.counts = Counts()
        self._numbers = itertools.count()

    def run(self, operations: int) -> Counts:
        """Interrupt so many times, in the main thread."""
        with self._handling():
            while self.counts.stopped < operations:
                try:
                    self._arm()
                    for _ in range(200):
                        self._ask()
                    # It struck in a destructor, where Python lets nothing out.
                    self.counts.swallowed += 1
                except Interrupt:
                    self.counts.stopped += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
        gc.collect()
        return self.counts

    def _arm(self) -> None:
        scale = self.random.choice((30e-6, 300e-6))
        signal.setitimer(signal.ITIMER_REAL, self.random.uniform(1e-6, scale))

    def _ask(self) -> None:
        number = b"%d" % next(self._numbers)
        if self.random.random() < 0.2:
            replies = self.link.run(several(Batch([ECHO(number), ECHO(b"x" + number)])))
            got = b" ".join(replies.check())
            number += b" x" + number
        else:
            got = self.link.run(one(ECHO(number)))
        self.counts.check(number, got)

    @contextlib.contextmanager
    def _handling(self) -> Iterator[None]:
        def interrupt(*_: Any) -> None:
            raise self.random.choice(INTERRUPTS)

        def hook(unraisable: Any) -> None:
            # A socket that an interrupt took from under its maker is closed with
            # its object, which Python remarks on.
            if not isinstance(unraisable.exc_value, (Interrupt, ResourceWarning)):
                self.counts.complaints.append(repr(unraisable.exc_value))

        handler = signal.signal(signal.SIGALRM, interrupt)
        before, sys.unraisablehook = sys.unraisablehook, hook
        try:
            yield
            gc.collect()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            sys.unraisablehook = before
