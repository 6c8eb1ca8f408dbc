"""200 tasks of one process that wait for a lock which another process holds.

First what they cost while nothing happens: requests a second, and the CPU of their
process. Then the lock is given back, each of them has it for a millisecond of
`asyncio.sleep`, and what counts is when the last one has left. Ideal is what so many
sleeps take one after the other, in the same process right after.

`python -m benchmarks.locks.crowd PORT CONTESTANT NAME TASKS` is the process. It says
`ready` and is told `go CALM END`, the moments between which nothing happens.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.locks.children import Child, in_turns, listen, ready, report
from benchmarks.locks.contestants import (
    BY_NAME,
    Locks,
    PythonRedisLock,
    PythonRedisLockRenewed,
    without,
)
from benchmarks.locks.holding import Holder
from benchmarks.locks.requests import Requests
from benchmarks.results import spread
from benchmarks.servers import Measured

TASKS = 200
HOLD = 0.001
GATHERS = 0.5
"""Seconds that the tasks have to come to rest in."""

DRAINS = 15.0
"""Seconds after which a crowd that is still there is reported so."""

HELD_BY = {"redis-py, blocking pool": "redis-py"}


@dataclass(frozen=True)
class Effort:
    rounds: int
    calm: float


FULL = Effort(rounds=3, calm=2.0)
QUICK = Effort(rounds=1, calm=1.0)


def measure(server: Measured, names: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Return the figures by contestant, medians over interleaved rounds."""
    effort = QUICK if quick else FULL
    present = without(names, PythonRedisLock, PythonRedisLockRenewed)
    rounds = in_turns(present, effort.rounds, lambda name: wait(server, name, effort))
    return {name: summarise(taken) for name, taken in rounds.items()}


def wait(server: Measured, contestant: str, effort: Effort) -> dict[str, Any]:
    """Have a crowd wait for a lock, and return what it cost."""
    name = f"crowded:{contestant}:{time.monotonic_ns()}".replace(" ", "")
    with (
        Holder(server.port) as holder,
        Child("crowd", server.port, contestant, name, TASKS) as crowd,
    ):
        holder.await_ready()
        crowd.await_ready()
        holder.take(name, HELD_BY.get(contestant, contestant))
        calm = time.monotonic() + GATHERS
        end = calm + effort.calm
        crowd.tell("go", calm, end)
        time.sleep(max(0.0, calm - time.monotonic()))
        with Requests(server.port) as requests:
            time.sleep(max(0.0, end - time.monotonic()))
        time.sleep(0.05)  # the crowd looks at its own clock
        given = holder.give(name)
        said = crowd.hear(DRAINS + 10)
    found: dict[str, Any] = {
        "requests_per_second": requests.count / effort.calm,
        "cpu_share": said["cpu"] / effort.calm,
        "served": said["served"],
    }
    if said["served"] < TASKS:
        errors = ", ".join(
            f"{word} ({n} of {TASKS} tasks)" for word, n in said["errors"].items()
        )
        return {**found, "error": f"fails: {errors}"}
    found["drain_s"] = said["last"] - given
    found["of_ideal"] = found["drain_s"] / said["ideal"]
    return found


def summarise(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each figure as `[median, smallest, largest]` over the rounds.

    Figures of a crowd of which a part has gone are of no use beside the others'.
    """
    errors = [each["error"] for each in rounds if "error" in each]
    if errors:
        return {"error": errors[0]}
    figures = ("requests_per_second", "cpu_share", "drain_s", "of_ideal")
    return {
        "rounds": len(rounds),
        **{figure: spread(each[figure] for each in rounds) for figure in figures},
    }


# -- in the process of its own --------------------------------------------------


async def gather(locks: Locks, name: str, tasks: int, calm: float, end: float) -> Any:
    """Wait with so many tasks, and tell how it went."""
    leaving: list[float] = []
    inside: list[None] = []
    errors: Counter[str] = Counter()

    async def have_it() -> None:
        try:
            lock = locks.alock(name)
            if not await lock.acquire():
                raise AssertionError("gave up, though its patience has no end")
            inside.append(None)
            if len(inside) > 1:
                raise AssertionError("two had the lock at once")
            await asyncio.sleep(HOLD)
            inside.pop()
            leaving.append(time.monotonic())
            await lock.release()
        except Exception as error:  # counted: that is the figure
            errors[_word(error)] += 1

    waiting = [asyncio.create_task(have_it()) for _ in range(tasks)]
    await asyncio.sleep(calm - time.monotonic())
    cpu = time.process_time()
    await asyncio.sleep(end - time.monotonic())
    cpu = time.process_time() - cpu
    _, late = await asyncio.wait(waiting, timeout=DRAINS)
    served = len(leaving)
    if late:
        errors[f"still waiting after {DRAINS:g} s"] = len(late)
    start = time.monotonic()
    for _ in range(tasks):
        await asyncio.sleep(HOLD)
    return {
        "cpu": cpu,
        "served": served,
        "errors": errors,
        "last": max(leaving, default=0.0),
        "ideal": time.monotonic() - start,
    }


def _word(error: Exception) -> str:
    return str(error) if isinstance(error, AssertionError) else type(error).__name__


def main(port: int, contestant: str, name: str, tasks: int) -> None:
    locks = BY_NAME[contestant](port)
    ready()
    _, calm, end = listen()
    report(asyncio.run(gather(locks, name, tasks, float(calm), float(end))))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
