"""How late somebody gives up who waits for a lock that stays taken.

Each is told to wait so many seconds at most, for a lock that another process keeps.
What is told is by how much it was late, in milliseconds; less than 0 is too early.
Everybody waits at the same time, begun one a little after the other.

`python -m benchmarks.locks.patience PORT CONTESTANT COLOUR NAME` is the process. It says
`ready`, is told `wait SECONDS` any number of times, and says each time how it went.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

from benchmarks.locks.children import Child, Failed, listen, ready
from benchmarks.locks.contestants import (
    BY_NAME,
    Locks,
    PythonRedisLockRenewed,
    RedisPyQueueing,
    without,
)
from benchmarks.locks.holding import Holder
from benchmarks.results import spread
from benchmarks.servers import Measured

FULL = (2, 2, 8)
QUICK = (1,)
STAGGER = 0.25

OVERTIME = 6.0
"""Seconds after its time for which one is watched who does not give up."""


def measure(
    server: Measured, names: dict[str, list[str]], overtime: float, *, quick: bool
) -> dict[str, dict[str, Any]]:
    """Return how late each was, by its patience in seconds and its name."""
    times = QUICK if quick else FULL
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(Holder(server.port))
        holder.await_ready()
        waiters: dict[str, Child] = {}
        for colour, present in names.items():
            for name in without(present, RedisPyQueueing, PythonRedisLockRenewed):
                title = name if colour == "sync" else f"{name}, asyncio"
                key = f"kept:{title}".replace(" ", "")
                holder.take(key, name)
                waiters[title] = stack.enter_context(
                    Child("patience", server.port, name, colour, key)
                )
        for child in waiters.values():
            child.await_ready()
        for seconds in times:
            rounds = found.setdefault(str(seconds), {})
            for child in waiters.values():
                child.tell("wait", seconds)
                time.sleep(STAGGER)
            until = time.monotonic() + seconds + overtime
            for title in list(waiters):
                said = rounds.setdefault(title, [])
                try:
                    left = max(0.0, until - time.monotonic())
                    said.append(waiters[title].hear(left))
                except Failed as failed:
                    # Killed: it does not take part in what follows.
                    waiters.pop(title)
                    said.append(_lost(failed, overtime))
    return {
        seconds: {title: summarise(said) for title, said in rounds.items()}
        for seconds, rounds in found.items()
    }


def _lost(failed: Failed, overtime: float) -> dict[str, Any]:
    if str(failed).startswith("hangs"):
        return {"late_ms": 1000 * overtime, "still_held": True, "error": ""}
    return {"error": str(failed)}


def summarise(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how late one was as `[median, smallest, largest]`, and what else it did."""
    return {
        "late_ms": spread(each["late_ms"] for each in rounds if "late_ms" in each),
        "still_held": any(each.get("still_held") for each in rounds),
        "error": next((each["error"] for each in rounds if each["error"]), ""),
        "rounds": len(rounds),
    }


# -- in the process of its own --------------------------------------------------


def give_up(locks: Locks, name: str, seconds: float) -> dict[str, Any]:
    acquire = locks.lock(name, patience=seconds).acquire
    start = time.perf_counter()
    error = ""
    try:
        if acquire():
            error = "acquired a lock that was taken"
    except Exception as raised:  # which one is the figure's footnote
        error = type(raised).__name__
    late = time.perf_counter() - start - seconds
    return {"late_ms": 1000 * late, "error": error}


async def agive_up(locks: Locks, name: str, seconds: float) -> dict[str, Any]:
    acquire = locks.alock(name, patience=seconds).acquire
    start = time.perf_counter()
    error = ""
    try:
        if await acquire():
            error = "acquired a lock that was taken"
    except Exception as raised:
        error = type(raised).__name__
    late = time.perf_counter() - start - seconds
    return {"late_ms": 1000 * late, "error": error}


def main(port: int, contestant: str, colour: str, name: str) -> None:
    """Wait whenever told to, until the parent is gone."""
    locks = BY_NAME[contestant](port)
    with asyncio.Runner() as runner:
        ready()
        while True:
            _, seconds = listen()
            if colour == "sync":
                found = give_up(locks, name, int(seconds))
            else:
                found = runner.run(agive_up(locks, name, int(seconds)))
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
