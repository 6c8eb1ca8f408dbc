"""F29: three hundred threads come at once, and there are twenty connections."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from redpony.errors import Unavailable
from tests.faults.caller import ROOM
from tests.faults.pulse import Pulse
from tests.faults.slots import connections, left_in_use, nodes_of
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

THREADS = 300
POOL = 20
PATIENT = {"DEADLINE": 30, "CONNECT_TIMEOUT": 30, "POOL_SIZE": POOL}


class Storm:
    """Threads that all start in the same moment, and what they met."""

    def __init__(self, cache: Any, work: Callable[[int], None]) -> None:
        self.cache = cache
        self.link = cache.alias.link
        self.met: Counter[str] = Counter()
        self.raised: list[BaseException] = []
        self.spans: list[tuple[float, float]] = []
        self.most = 0
        """The largest number of connections of one colour that a server had."""

        self._work = work
        self._together = threading.Barrier(THREADS + 1)
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(THREADS)
        ]

    def _run(self, number: int) -> None:
        self._together.wait()
        start = time.monotonic()
        try:
            self._work(number)
            self.met["answered"] += 1
        except Unavailable as error:
            self.met[error.outcome] += 1
        except BaseException as error:
            self.raised.append(error)
        finally:
            self.spans.append((start, time.monotonic()))

    def blow(self) -> None:
        """Let all go at once, and wait for the last."""
        for thread in self._threads:
            thread.start()
        self._together.wait()
        end = time.monotonic() + 120
        while any(thread.is_alive() for thread in self._threads):
            assert time.monotonic() < end, "threads are stuck"
            self.most = max(self.most, most(self.link))
            time.sleep(0.001)
        assert self.raised == []


def most(link: Any) -> int:
    """Return the size of the fullest pool: each server has one for each colour."""
    pools = [
        (node.blocking.pool.opened, node.awaiting.loops.places.taken)
        for node in nodes_of(link)
    ]
    return max(map(max, pools), default=0)


@pytest.fixture
def storm(record, pulse: Pulse):
    """Return a function that makes a storm and asserts what each must leave true."""

    def make(cache: Any, work: Callable[[int], None], *, within: float) -> Storm:
        made = Storm(cache, work)
        made.blow()
        held = max(end - start - pulse.excused(start, end) for start, end in made.spans)
        slots = left_in_use(made.link)
        record(
            operations=THREADS,
            wrong=0,
            duplicates=0,
            slots=slots,
            held=held,
            connections=made.most,
        )
        assert held <= within + ROOM
        assert slots == 0
        return made

    return make


def once(cache: Any, number: int) -> None:
    """Write and read what nobody else does."""
    assert cache.set(f"key:{number}", [number])
    assert cache.get(f"key:{number}") == [number]
    assert cache.incr("all", ignore_key_check=True) > 0


async def aonce(cache: Any, number: int) -> None:
    assert await cache.aset(f"key:{number}", [number])
    assert await cache.aget(f"key:{number}") == [number]
    assert await cache.aincr("all", ignore_key_check=True) > 0


def test_all_are_served_by_as_many_connections_as_configured(place, storm):
    cache = place.cache(**PATIENT)
    found = storm(cache, lambda number: once(cache, number), within=60)
    assert found.met == {"answered": THREADS}
    assert 1 <= found.most <= POOL
    for server in place.primaries:
        assert len(server.users()) <= POOL
    assert cache.get("all") == THREADS


def test_each_with_an_event_loop_of_its_own(place, storm):
    cache = place.cache(**PATIENT)
    found = storm(cache, lambda number: asyncio.run(aonce(cache, number)), within=60)
    assert found.met == {"answered": THREADS}
    assert found.most <= POOL
    assert cache.get("all") == THREADS
    until(lambda: connections(cache.alias.link) <= 1 + len(place.servers), "loops end")


def test_threads_and_loops_at_once(place, storm):
    cache = place.cache(**PATIENT)

    def work(number: int) -> None:
        if number % 2:
            once(cache, number)
        else:
            asyncio.run(aonce(cache, number))

    found = storm(cache, work, within=60)
    assert found.met == {"answered": THREADS}
    assert found.most <= POOL
    assert cache.get("all") == THREADS


def test_a_server_that_hangs_holds_nobody_beyond_the_deadline(place, storm):
    cache = place.cache(POOL_SIZE=POOL, BREAKER={"COOLDOWN": 0.05})
    once(cache, 0)
    place.pause()
    found = storm(
        cache, lambda number: cache.incr("n", ignore_key_check=True), within=0.75
    )
    place.resume()
    assert found.met["answered"] == 0
    assert sum(found.met.values()) == THREADS
    assert found.most <= POOL
    until(lambda: serves(cache), "the server is used again")
    place.quiet()
    # What was in doubt has happened once or not at all.
    assert cache.get("n", 0) <= found.met["unknown"]


def serves(cache: Any) -> bool:
    try:
        once(cache, 0)
    except Unavailable:
        return False
    return True


def test_a_server_that_is_gone_holds_nobody(place, storm):
    cache = place.cache(POOL_SIZE=POOL, BREAKER={"COOLDOWN": 0.05})
    once(cache, 0)
    place.kill()
    found = storm(cache, lambda number: once(cache, number), within=0.75)
    assert found.met == {"not_sent": THREADS}
    place.start()
    until(lambda: serves(cache), "the server is used again")


def test_connections_that_are_killed_meanwhile_lose_no_place(place, storm):
    cache = place.cache(**PATIENT, BREAKER={"FAILURES": 10**6})
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.005):
            place.drop_clients()

    killer = threading.Thread(target=kill)

    def work(number: int) -> None:
        for turn in range(5):
            cache.incr(f"count:{number}", ignore_key_check=True)
            assert cache.get(f"count:{number}") == turn + 1

    killer.start()
    try:
        found = storm(cache, work, within=60)
    finally:
        over.set()
        killer.join()
    assert found.most <= POOL
    assert sum(found.met.values()) == THREADS
    for number in range(THREADS):
        assert cache.get(f"count:{number}", 0) <= 5
