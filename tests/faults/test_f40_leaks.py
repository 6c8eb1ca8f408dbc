"""F40: hours of restarts, cuts and cancellations: nothing accumulates."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redpony.errors import RedponyError
from redpony.wire.link import Link
from redpony.wire.topology.link import TopologyLink
from tests.faults.slots import connections, left_in_use
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

OPTIONS = {
    "DEADLINE": 1,
    "CONNECT_TIMEOUT": 1,
    "POOL_SIZE": 5,
    "BREAKER": {"COOLDOWN": 0.01},
}

SOAK = float(os.environ.get("REDPONY_SOAK_SECONDS", "600"))
"""How long the long run takes, in seconds; an hour is 3600."""


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident() -> int:
    """Return this process' resident size in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def objects() -> int:
    """Return how many objects of ours there are: connections, plans, futures ..."""
    gc.collect()
    ours = ("redpony.", "asyncio", "_asyncio")
    # (Some types of C have no name of a module, but what would give it.)
    return sum(str(type(each).__module__).startswith(ours) for each in gc.get_objects())


class Wear:
    """A cache that is used while its servers are hurt, one cycle after the other."""

    def __init__(self, cache: Any, place: Any) -> None:
        self.cache = cache
        self.link = cache.alias.link
        self.place = place
        self.random = random.Random(40)
        self.answered = self.failed = self.wrong = 0

    def cycle(self, hurt: Callable[[], None], heal: Callable[[], None]) -> None:
        """Use both colours, hurt, use them again, heal, and wait for answers."""
        self._use()
        hurt()
        self._use()
        heal()
        until(lambda: self._ask(1), "the place answers again")
        asyncio.run(self._cancel())

    def _use(self) -> None:
        threads = [threading.Thread(target=self._ask, args=(5,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        asyncio.run(self._await())
        for thread in threads:
            thread.join()

    def _ask(self, turns: int) -> bool:
        key = f"thread:{threading.get_ident()}"
        for turn in range(turns):
            try:
                self.cache.set(key, [key, turn], None)
                got = self.cache.get(key)
            except RedponyError:
                self.failed += 1
                return False
            self._compare(got, key)
        return True

    async def _await(self) -> None:
        async def one(number: int) -> None:
            key = f"task:{number}"
            try:
                await self.cache.aset(key, [key, number], None)
                got = await self.cache.aget(key)
            except RedponyError:
                self.failed += 1
            else:
                self._compare(got, key)

        await asyncio.gather(*(one(number) for number in range(20)))

    async def _cancel(self) -> None:
        tasks = [asyncio.ensure_future(self.cache.aget(f"k{n}")) for n in range(20)]
        for _ in range(self.random.randrange(8)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _compare(self, got: Any, key: str) -> None:
        # After a restart there may be nothing, and never another's value.
        self.answered += 1
        self.wrong += got is not None and got[0] != key

    def settle(self) -> None:
        """Come to rest: what is left then is what is kept."""
        self.link.close()
        asyncio.run(_turns())
        until(lambda: left_in_use(self.link) == 0, "nothing is in use")
        until(lambda: threading.active_count() <= self.threads, "threads have ended")
        gc.collect()

    threads = 10**6
    """How many there were at first; not bounded before they were counted."""

    def measure(self) -> tuple[int, int, int]:
        """Return descriptors, threads and objects at rest."""
        self.settle()
        return descriptors(), threading.active_count(), objects()


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def close_what_other_tests_left() -> None:
    """Close every link of this process: what they would let go of later, they do now."""
    gc.collect()
    for each in gc.get_objects():
        if issubclass(type(each), (Link, TopologyLink)):
            each.close()
    gc.collect()


@pytest.fixture
def wear(place, record):
    close_what_other_tests_left()
    made = Wear(place.cache(**OPTIONS), place)
    yield made
    record(
        operations=made.answered + made.failed,
        wrong=made.wrong,
        duplicates=0,
        slots=left_in_use(made.link),
    )
    assert made.wrong == 0


def nothing_is_left(wear: Wear, cycles: int, hurt: Any, heal: Any) -> None:
    """Compare a place that was hurt a few times with one that was often."""
    for _ in range(2):
        wear.cycle(hurt, heal)
    before = wear.measure()
    wear.threads = before[1]
    for _ in range(cycles):
        wear.cycle(hurt, heal)
    after = wear.measure()
    # The harness' own sockets come and go by one or two.
    assert after[0] <= before[0] + 2, f"descriptors: {before[0]}, then {after[0]}"
    assert after[1] <= before[1], f"threads: {before[1]}, then {after[1]}"
    # What other tests left behind goes, or is made, meanwhile.
    assert after[2] <= before[2] * 1.05, f"objects: {before[2]}, then {after[2]}"
    until(
        lambda: not connections(wear.link) or wear.link.close(),
        "a look at the topology that was under way has ended",
    )


def test_connections_that_are_killed(wear, place):
    nothing_is_left(wear, 15, place.drop_clients, lambda: None)


def test_servers_that_hang(wear, place):
    nothing_is_left(wear, 4, place.pause, place.resume)


@pytest.mark.topologies("single", "replicated")
def test_servers_that_are_restarted(wear, place):
    nothing_is_left(wear, 4, place.kill, place.start)


def test_the_kernel_closes_what_nobody_refers_to(wear, place):
    """Caches that are made anew for every settings, as tests do."""
    before = wear.measure()
    for number in range(10):
        cache = place.cache(**{**OPTIONS, "DEADLINE": 2 + number})
        cache.set("key", number)
        asyncio.run(cache.aget("key"))
        cache.alias.link.close()
    after = wear.measure()
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1]


@pytest.mark.soak
@pytest.mark.topologies("single")
def test_an_hour_of_restarts_and_cancellations(wear, place, record, capsys):
    """`REDPONY_SOAK_SECONDS=3600` makes it one; the slope is what counts."""
    hurts = [
        (place.drop_clients, lambda: None),
        (place.pause, place.resume),
        (place.kill, place.start),
    ]
    for hurt, heal in hurts * 3:
        wear.cycle(hurt, heal)
    before, began = wear.measure(), resident()
    end = time.monotonic() + SOAK
    cycles = 0
    sizes: list[int] = []
    while time.monotonic() < end:
        wear.cycle(*wear.random.choice(hurts))
        cycles += 1
        if cycles % 20 == 0:
            gc.collect()
            sizes.append(resident())
    after = wear.measure()
    late = sizes[len(sizes) // 2 :]
    slope = (late[-1] - late[0]) / max(cycles / 2, 1) if late else 0.0
    record(memory=resident() / 2**20)
    with capsys.disabled():
        print(
            f"\n  {cycles} cycles, {wear.answered} answers, {wear.failed} failures, "
            f"{wear.wrong} wrong; descriptors {before[0]} -> {after[0]}, threads "
            f"{before[1]} -> {after[1]}, objects {before[2]} -> {after[2]}, resident "
            f"{began / 2**20:.1f} -> {resident() / 2**20:.1f} MiB, {slope:.0f} bytes a "
            f"cycle; Python {sys.version.split()[0]}",
            end="",
        )
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1]
    assert not late or late[-1] - late[0] < 4 * 2**20
