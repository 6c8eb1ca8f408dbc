"""How a lock goes from hand to hand while several want it all the time.

Eight threads of one process, and four processes that start at the same moment, hold the
lock for 5 ms and want it again at once. A hand-over lasts from the moment at which a
holder begins to give the lock back to that at which the next one is in, whoever that
is. Round trips are the server's: how often it read, over the locks that were held in
the same time. Fairness is Jain's index of how often each contender had it: 1 is perfect,
1/n is one who has it all.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.floor import BareSocket, pack
from benchmarks.locks.children import Child, Figures, in_turns
from benchmarks.locks.contestants import (
    PythonRedisLockRenewed,
    RedisPyQueueing,
    without,
)
from benchmarks.results import spread
from benchmarks.servers import HOST, Measured

HOLD = 0.005
CROWDS = {"8 threads": (1, 8), "4 processes": (4, 1)}
"""How many processes, of how many threads each."""

SETTLES = 0.2
"""Seconds at the beginning that do not count: connections are made in them."""

PATIENCE = 20.0
PINGS = 40

Entry = tuple[float, float, int]


@dataclass(frozen=True)
class Effort:
    rounds: int
    seconds: float


FULL = Effort(rounds=3, seconds=2.0)
QUICK = Effort(rounds=1, seconds=0.8)


def measure(server: Measured, names: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Return the figures by crowd and contestant, medians over interleaved rounds."""
    effort = QUICK if quick else FULL
    present = without(names, RedisPyQueueing, PythonRedisLockRenewed)
    found: dict[str, Any] = {}
    for crowd, (processes, threads) in CROWDS.items():
        rounds = in_turns(
            present,
            effort.rounds,
            lambda name, p=processes, t=threads: contest(server, name, p, t, effort),
        )
        found[crowd] = summarise(rounds)
    return found


def contest(
    server: Measured, contestant: str, processes: int, threads: int, effort: Effort
) -> Figures:
    """Have a crowd contend for a lock, and return the figures of that."""
    name = f"contended:{contestant}:{time.monotonic_ns()}"
    arguments = (server.port, contestant, name, threads, HOLD)
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(Child("contending", *arguments))
            for _ in range(processes)
        ]
        for child in children:
            child.await_ready()
        trip = round_trip(server.port)
        start = time.monotonic() + 0.1
        begin = start + SETTLES
        end = begin + effort.seconds
        for child in children:
            child.tell("go", start, end)
        time.sleep(max(0.0, begin - time.monotonic()))
        reads = server.stat("total_reads_processed")
        time.sleep(max(0.0, end - time.monotonic()))
        # The question itself is read once.
        reads = server.stat("total_reads_processed") - reads - 1
        said = [child.hear(effort.seconds + PATIENCE) for child in children]
    errors = [word for each in said for word in each["errors"]]
    if errors:
        return {"error": errors[0]}
    diaries = [diary for each in said for diary in each["entries"]]
    found = judge(diaries, begin, end)
    if "error" in found:
        return found
    cpu = sum(each["cpu"] for each in said)
    return {
        **found,
        "round_trips": reads / found["sections"],
        "cpu_us": 1e6 * cpu / sum(map(len, diaries)),
        "round_trip_us": 1e6 * trip,
    }


def judge(diaries: list[list[Sequence[float]]], begin: float, end: float) -> Figures:
    """Return what the diaries of all contenders say about the time in between."""
    entries: list[Entry] = sorted(
        (entered, left, who)
        for who, diary in enumerate(diaries)
        for entered, left in diary
    )
    both = sum(later[0] < earlier[1] for earlier, later in pairwise(entries))
    if both:
        return {"error": f"two had the lock at once, {both} times"}
    counts = [sum(begin <= entered < end for entered, _ in diary) for diary in diaries]
    handed = [
        (later[0] - earlier[1], later[2] == earlier[2])
        for earlier, later in pairwise(entries)
        if earlier[1] >= begin and later[0] < end
    ]
    if len(handed) < 2:
        return {"error": f"handed over {len(handed)} times only"}
    times = sorted(1000 * seconds for seconds, _ in handed)
    return {
        "median_ms": statistics.median(times),
        "p90_ms": times[int(0.9 * len(times))],
        "p99_ms": times[int(0.99 * len(times))],
        "same_again": sum(same for _, same in handed) / len(handed),
        "longest_wait_s": max(waited(diary, begin, end) for diary in diaries),
        "jain": jain(counts),
        "sections": sum(counts),
    }


def waited(diary: list[Sequence[float]], begin: float, end: float) -> float:
    """Return for how long a contender was without the lock at a stretch."""
    inside = [each for each in diary if begin <= each[0] < end]
    outs = [begin, *(left for _, left in inside)]
    ins = [*(entered for entered, _ in inside), end]
    return max(each - out for out, each in zip(outs, ins, strict=True))


def jain(counts: Sequence[int]) -> float:
    """Return Jain's index of fairness."""
    squares = len(counts) * sum(count * count for count in counts)
    return sum(counts) ** 2 / squares if squares else 0.0


def round_trip(port: int) -> float:
    """Return the seconds that a bare socket's PING takes, once in a while.

    A machine that has slept for the time of a critical section is slower than one that
    is asked again and again.
    """
    bare = BareSocket(HOST, port)
    try:
        ping = bare.sized(pack("PING"), len(b"+PONG\r\n"))
        taken = []
        for _ in range(PINGS):
            time.sleep(HOLD)
            start = time.perf_counter()
            ping()
            taken.append(time.perf_counter() - start)
    finally:
        bare.close()
    return statistics.median(taken)


FIGURES = (
    "median_ms",
    "p90_ms",
    "p99_ms",
    "same_again",
    "longest_wait_s",
    "jain",
    "round_trips",
    "cpu_us",
    "sections",
)


def summarise(rounds: dict[str, list[Figures]]) -> dict[str, Any]:
    """Return each one's figures as `[median, smallest, largest]` over the rounds.

    `of_round_trip` is the median hand-over in round trips of a bare socket, and
    `times_ours` in hand-overs of ours, each taken within a round.
    """
    found: dict[str, Any] = {}
    ours = [each for each in rounds.get("ours", ()) if "error" not in each]
    for name, taken in rounds.items():
        errors = [each["error"] for each in taken if "error" in each]
        if errors:
            found[name] = {"error": errors[0]}
            continue
        found[name] = {
            figure: spread(each[figure] for each in taken) for figure in FIGURES
        }
        found[name]["of_round_trip"] = spread(
            1000 * each["median_ms"] / each["round_trip_us"] for each in taken
        )
        found[name]["times_ours"] = spread(
            each["median_ms"] / one["median_ms"]
            for each, one in zip(taken, ours, strict=False)
        )
    return found
