"""A lock that nobody else wants: taken and given back, over and over.

Two forms: `acquire()` and `release()` of one object, and a `with` statement over a new
one each time. Each is compared with SET + GET through the same client: two round trips,
the least that a lock can do. CPU is that of the whole process, because some locks keep
threads for their work; nothing else runs in it.

`python -m benchmarks.locks.uncontended PORT quick|full COLOUR NAME...` is the process.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from typing import Any

import redis

from benchmarks import roundtrips
from benchmarks.contestants import AsyncOperation, NotOffered
from benchmarks.floor import Operation
from benchmarks.interleave import Samples
from benchmarks.locks import turns
from benchmarks.locks.children import Child, Failed, report
from benchmarks.locks.contestants import (
    BY_NAME,
    Handle,
    Locks,
    OurFloor,
    RedisPy,
    RedisPyFloor,
    RedisPyQueueing,
    without,
)
from benchmarks.results import pairs, ratio
from benchmarks.rows import Row
from benchmarks.servers import HOST

PATIENCE = 240.0

Effort = tuple[int, int]
"""So many rounds, and turns of everybody in each of them."""

FULL: Effort = (31, 60)
QUICK: Effort = (7, 5)


def _taken(answer: Any) -> bool:
    return bool(answer)


FORMS = {"pair": "`acquire` + `release`", "fresh": "`with`, a new lock each time"}
ROWS = {
    # A thread of its own, so that the CPU of all threads is counted.
    "sync": [
        Row(form, title, "threads", _taken, 1, counts_round_trips=True)
        for form, title in FORMS.items()
    ],
    "async": [
        Row(form, title.replace("`with`", "`async with`"), "async", _taken)
        for form, title in FORMS.items()
    ],
}


def measure(port: int, names: dict[str, list[str]], *, quick: bool) -> dict[str, Any]:
    """Return the figures by colour, form and contestant, or an `error`.

    `names` are those of the contestants, by colour.
    """
    effort = "quick" if quick else "full"
    found: dict[str, Any] = {}
    for colour in ROWS:
        arguments = without(names[colour], RedisPyQueueing)
        with Child("uncontended", port, effort, colour, *arguments) as child:
            try:
                found[colour] = child.hear(PATIENCE)
            except Failed as failed:
                found[colour] = {"error": str(failed)}
    return found


# -- in the process of its own --------------------------------------------------


class Entrant:
    """A contestant's lock, for the rows."""

    version = ""

    def __init__(self, locks: Locks) -> None:
        self.name = locks.name
        self._locks = locks

    def sync(self, row: Row) -> Operation:
        name = f"uncontended:{self.name}"
        if row.name == "pair":
            return _pair(self._locks.lock(name))
        fresh = self._locks.fresh

        def operation() -> object:
            with fresh(name):
                return True

        return operation

    async def asynchronous(self, row: Row) -> AsyncOperation:
        name = f"uncontended:{self.name}"
        if row.name == "pair":
            return _apair(self._locks.alock(name))
        afresh = self._locks.afresh

        async def operation() -> object:
            async with afresh(name):
                return True

        return operation


def _pair(lock: Handle) -> Operation:
    acquire, release = lock.acquire, lock.release

    def operation() -> object:
        if not acquire():
            raise AssertionError("not acquired, and nobody had it")
        release()
        return True

    return operation


def _apair(lock: Handle) -> AsyncOperation:
    acquire, release = lock.acquire, lock.release

    async def operation() -> object:
        if not await acquire():
            raise AssertionError("not acquired, and nobody had it")
        await release()
        return True

    return operation


class FloorEntrant:
    """A client's SET + GET, for the same rows."""

    version = ""

    def __init__(self, floor: OurFloor | RedisPyFloor) -> None:
        self.name = floor.name
        self._floor = floor

    def sync(self, row: Row) -> Operation:
        return self._floor.pair()

    async def asynchronous(self, row: Row) -> AsyncOperation:
        return await self._floor.apair()


class Asked:
    """The server's own counters."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(host=HOST, port=port)

    def stat(self, name: str) -> int:
        return int(self._client.info("stats")[name])

    def cpu(self, operation: Operation, times: int = 500) -> float:
        """Return the microseconds of the server's CPU that an operation takes."""
        operation()
        before = self._cpu()
        for _ in range(times):
            operation()
        return 1e6 * (self._cpu() - before) / times

    def _cpu(self) -> float:
        used = self._client.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def run(port: int, effort: str, colour: str, names: list[str]) -> dict[str, Any]:
    """Measure some contestants; return the figures by form and name.

    Each takes turns with what it is compared with: the floors, and redis-py's lock.
    """
    entrants: dict[str, Any] = {
        floor.name: FloorEntrant(floor)
        for floor in (OurFloor(port), RedisPyFloor(port))
    }
    floors: dict[str, str] = {}
    for name in names:
        try:
            locks = BY_NAME[name](port)
        except NotOffered:
            continue
        entrants[name] = Entrant(locks)
        floors[name] = locks.floor
    found: dict[str, Any] = {}
    server: Any = Asked(port)
    rounds = QUICK if effort == "quick" else FULL
    with asyncio.Runner() as runner:
        for row in ROWS[colour]:
            figures: dict[str, Any] = {}
            found[row.name] = figures
            for name, floor in floors.items():
                group = dict.fromkeys((name, floor, RedisPyFloor.name, RedisPy.name))
                several = {each: entrants[each] for each in group if each in entrants}
                try:
                    taken = take_turns(row, several, rounds, runner)
                except Exception as error:  # reported in place of figures
                    figures[name] = {"error": f"{type(error).__name__}: {error}"}
                    continue
                seen = summarise(taken, floors)
                for each in (floor, name):
                    figures.setdefault(each, seen[each])
                if colour == "sync":
                    for each in (floor, name):
                        trips = roundtrips.count(row, entrants[each], server)
                        figures[each]["round_trips"] = trips
                        cpu = server.cpu(entrants[each].sync(row))
                        figures[each]["server_us"] = cpu
    return found


def take_turns(
    row: Row, several: dict[str, Any], effort: Effort, runner: asyncio.Runner
) -> dict[str, Samples]:
    """Measure some entrants in one row, one operation of each at a time."""
    if row.kind != "async":
        return turns.measure(
            {name: each.sync(row) for name, each in several.items()}, *effort
        )

    async def play() -> dict[str, Samples]:
        operations = {
            name: await each.asynchronous(row) for name, each in several.items()
        }
        return await turns.ameasure(operations, *effort)

    return runner.run(play())


def summarise(taken: dict[str, Samples], floors: dict[str, str]) -> dict[str, Any]:
    """Return the figures by name: against each one's floor, and against redis-py's.

    Ratios are `[median, smallest, largest]` over the rounds.
    """
    found: dict[str, Any] = {}
    for name, samples in taken.items():
        if not samples.walls():
            found[name] = {"error": samples.error or "not measured"}
            continue
        found[name] = figures = {
            "wall_us": statistics.median(samples.walls()),
            "cpu_us": statistics.median(samples.cpus()),
            "lost": len(samples.rounds) - len(samples.walls()),
        }
        if samples.error:
            figures["error"] = samples.error
        floor = floors.get(name)
        if floor is not None and floor in taken:
            both = pairs(samples, taken[floor])
            figures["of_floor"] = ratio(both)
            figures["cpu_of_floor"] = ratio(both, "cpu")
        if name in floors and RedisPyFloor.name in taken:
            both = pairs(samples, taken[RedisPyFloor.name])
            figures["of_redis_py_floor"] = ratio(both)
        if name in floors and "redis-py" in taken:
            both = pairs(samples, taken["redis-py"])
            figures["of_redis_py"] = ratio(both)
            figures["cpu_of_redis_py"] = ratio(both, "cpu")
    return found


if __name__ == "__main__":
    report(run(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
