"""F31: a signal's handler raises anywhere in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.slots import connections, left_in_use, nodes_of
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

PATIENT = {"DEADLINE": 30, "CONNECT_TIMEOUT": 30}


class TooLong(Exception):
    """What a worker's soft time limit raises."""


class LooksLikeATimeout(TooLong, TimeoutError):
    """A handler may well raise what a socket raises."""


class LooksLikeALostPeer(TooLong, ConnectionResetError):
    pass


class NoException(BaseException):
    """As KeyboardInterrupt and SystemExit are none."""


RAISED = (TooLong, LooksLikeATimeout, LooksLikeALostPeer, NoException)


class Interrupts:
    """Interrupts operations of one cache after random microseconds."""

    def __init__(self, cache: Any, seed: int) -> None:
        self.cache = cache
        self.random = random.Random(seed)
        self.stopped = self.checked = self.wrong = self.swallowed = 0
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)
        self._increments = self._acknowledged = 0

    def run(self, interrupts: int) -> None:
        """Interrupt so many times, in the main thread."""
        with self.handling():
            while self.stopped < interrupts:
                # Where it struck in a destructor, Python lets nothing out.
                self.swallowed += not self.attempt(self.operate, 100)

    def attempt(self, work: Callable[[], object], times: int = 1) -> bool:
        """Do something so many times; return whether it was interrupted."""
        try:
            try:
                self.arm()
                for _ in range(times):
                    work()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except RAISED:
            self.stopped += 1
            return True
        return False

    def arm(self) -> None:
        scale = self.random.choice((50e-6, 500e-6, 2e-3))
        signal.setitimer(signal.ITIMER_REAL, self.random.uniform(1e-6, scale))

    def operate(self) -> None:
        number = next(self._numbers)
        key = f"key:{number % 50}"
        roll = self.random.random()
        if roll < 0.5:
            self.cache.set(key, [number], None)
            self.compare(self.cache.get(key), [number])
        elif roll < 0.7:
            self.cache.set_many({key: [number], "pair": [number]}, None)
            found = self.cache.get_many([key, "pair"])
            self.compare(found, {key: [number], "pair": [number]})
        else:
            self._increments += 1
            count = self.cache.incr("n", ignore_key_check=True)
            self._acknowledged += 1
            self.checked += 1
            self.wrong += not self._acknowledged <= count <= self._increments
            assert self._acknowledged <= count <= self._increments

    def compare(self, got: Any, expected: Any) -> None:
        self.checked += 1
        self.wrong += got != expected
        assert got == expected

    def audit(self) -> None:
        """What was interrupted has happened once or not at all."""
        count = self.cache.get("n", 0)
        assert self._acknowledged <= count <= self._increments

    @contextlib.contextmanager
    def handling(self) -> Iterator[None]:
        def interrupt(*_: Any) -> None:
            raise self.random.choice(RAISED)

        def hook(unraisable: Any) -> None:
            # A socket that an interrupt took from under its maker is closed with
            # its object, which Python remarks on.
            if not isinstance(unraisable.exc_value, (*RAISED, ResourceWarning)):
                self.complaints.append(repr(unraisable.exc_value))

        # A thread that watches several servers is started by the first to ask.
        self.cache.get("warm")
        handler = signal.signal(signal.SIGALRM, interrupt)
        before, sys.unraisablehook = sys.unraisablehook, hook
        try:
            yield
            gc.collect()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            sys.unraisablehook = before


@pytest.fixture
def interrupts(place, record):
    """Return `Interrupts`, and check what every interruption must leave true."""
    made: list[Interrupts] = []

    def make(seed: int, **options: Any) -> Interrupts:
        made.append(Interrupts(place.cache(**{**PATIENT, **options}), seed))
        return made[-1]

    yield make
    for each in made:
        link = each.cache.alias.link
        slots = left_in_use(link)
        each.audit()
        record(
            operations=each.stopped + each.checked,
            wrong=each.wrong,
            duplicates=0,
            slots=slots,
            interrupted=each.stopped,
        )
        assert slots == 0
        assert each.complaints == []


def test_interrupted_operations_shift_no_answer_and_lose_no_place(interrupts):
    run = interrupts(1)
    run.run(1_500)
    assert run.swallowed <= run.stopped / 50
    for node in nodes_of(run.cache.alias.link):
        pool = node.blocking.pool
        # Every place is there, and none beyond.
        taken = [pool.take(0)[0] for _ in range(pool.size)]
        assert pool.opened == pool.size
        for connection in taken:
            pool.give_back(connection)
    run.cache.alias.link.close()


@pytest.mark.parametrize("size", [1, 2])
def test_a_small_pool_is_not_used_up(interrupts, size):
    run = interrupts(size, POOL_SIZE=size)
    run.run(300)
    for node in nodes_of(run.cache.alias.link):
        assert node.blocking.pool.opened <= size
        assert node.blocking.pool.in_use == 0


def test_interrupted_while_every_operation_connects_anew(interrupts, place):
    run = interrupts(3)
    with run.handling():
        for _ in range(200):
            for node in nodes_of(run.cache.alias.link):
                node.close()
            run.attempt(run.operate)
    assert run.stopped > 20
    run.cache.alias.link.close()
    until(lambda: not place.handle.users(), "no connection is left")


def test_a_handler_that_raises_says_what_it_raised_and_nothing_of_ours(
    interrupts, place
):
    """A time limit that is met while a server hangs is the caller's to see."""
    run = interrupts(4)
    run.cache.set("key", "value")
    with run.handling():
        place.pause()
        for _ in range(10):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(RAISED):
                run.cache.get("key")
            run.stopped += 1
        place.resume()
    assert run.cache.get("key") == "value"


def test_control_c_in_an_event_loop(interrupts):
    """Python cancels the main task, and raises when it has ended."""
    run = interrupts(6)

    async def work() -> None:
        run.arm()
        while True:
            number = run.random.random()
            await run.cache.aset("mine", number, None)
            run.compare(await run.cache.aget("mine"), number)

    def strike(_: int, frame: Any) -> None:
        signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)

    handler = signal.signal(signal.SIGALRM, strike)
    try:
        for _ in range(100):
            with asyncio.Runner() as runner:
                runner.run(run.cache.aget("warm"))
                with pytest.raises(KeyboardInterrupt):
                    runner.run(work())
            run.stopped += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    run.cache.alias.link.close()
    assert connections(run.cache.alias.link) == 0
