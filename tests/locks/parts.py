"""The parts of the long runs: contenders on each form of servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from redpony.testing.chaos import Proxy
from tests.locks import troubles
from tests.locks.clock import Clocked
from tests.locks.history import History
from tests.locks.invariants import crowds, is_excused, violations
from tests.locks.run import Run, inspected
from tests.servers import Cluster, Replication, Sentinel, Server

Figures = dict[str, Any]
Part = Callable[[str, Path, float, int], tuple[Run, History]]


def single(
    flavour: str, directory: Path, seconds: float, seed: int
) -> tuple[Run, History]:
    """One server, whose network loses answers, and which loses its data."""
    with Server(flavour) as server, Proxy((server.host, server.port), seed=1) as proxy:
        location = f"redis://{proxy.host}:{proxy.port}"
        with Run(location, directory, seconds, seed) as run, inspected(server, run):
            run.through(
                [
                    run.kill,
                    *troubles.of_network(run, proxy),
                    *troubles.of_server(run, server),
                    *troubles.of_memory(run, server),
                ],
                first=[run.kill, run.stop],
            )
            return run, run.finish(server.keys)


def clock(
    flavour: str, directory: Path, seconds: float, seed: int
) -> tuple[Run, History]:
    """One server whose clock is set forward and back."""
    with Clocked(flavour) as server:
        with Run(server.url(), directory, seconds, seed) as run, inspected(server, run):
            run.through([run.kill, run.stop], first=troubles.of_clock(run, server))
            return run, run.finish(server.keys)


def of_group(make: Any, what: Any) -> Part:
    """Return a part with several servers, of which one takes another one's place."""

    def part(
        flavour: str, directory: Path, seconds: float, seed: int
    ) -> tuple[Run, History]:
        with make(flavour) as group:
            with Run(group.url(), directory, seconds, seed) as run:
                run.through(
                    [run.kill, run.stop, *troubles.of_group(run, group)],
                    first=what(run, group),
                )
                return run, run.finish(group.keys)

    return part


FORMS: dict[str, Part] = {
    "single": single,
    "clock": clock,
    "replicated": of_group(Replication, troubles.of_replication),
    "sentinel": of_group(Sentinel, troubles.of_sentinel),
    "cluster": of_group(Cluster, troubles.of_cluster),
}

SHORT = {
    "valkey single": 12, "redis clock": 6, "redis replicated": 6,
    "redis sentinel": 6, "valkey cluster": 6,
}  # fmt: skip
"""The parts that CI runs, and for how many seconds: about a minute in all."""

PARTS = (
    "valkey single", "redis single", "valkey clock", "redis clock",
    "redis replicated", "redis sentinel", "valkey cluster",
)  # fmt: skip


def held_to(
    part: str, directory: Path, seconds: float, seed: int
) -> tuple[Figures, dict[str, list[str]]]:
    """Run a part; return its figures, and what broke of what was promised."""
    flavour, form = part.split()
    run, history = FORMS[form](flavour, directory, seconds, seed)
    broken = violations(history)
    found = {
        **figures(run, history),
        "lost wake-ups": len(broken.get("I4", [])),
        "leaked keys": len(broken.get("I9", [])),
        "violations": sum(map(len, broken.values())),
    }
    return found, broken


def figures(run: Run, history: History) -> Figures:
    """Return what a run has counted."""
    counts: Counter[str] = run.counts
    too_many = crowds(history)
    excused = sum(is_excused(history, crowd) for crowd in too_many)
    gaps = [
        until - since
        for name in ("a", "b", "s", "r")
        for since, until in history.idle(name)
    ]
    done = {name: counts[name] for name in sorted(TROUBLES) if counts[name]}
    return {
        "holdings": len(history.holdings),
        "hand-overs": handed_over(history),
        **done,
        "duplicates": counts["twice"],
        "late duplicates": counts["copy"],
        "cancellations": counts["cancelled"],
        "lost": counts["lost"],
        "writes": counts["accepted"],
        "refused late writes": counts["refused"],
        "longest gap": round(max(gaps, default=0), 2),
        "longest lag": round(history.lag, 3),
        "unfenced overlaps where a server forgot": excused,
    }


def handed_over(history: History) -> int:
    """Return how often the next holder was another process', or another contender."""
    changes = 0
    for mine in history.by_name().values():
        changes += sum(
            (one.pid, one.who) != (two.pid, two.who) for one, two in pairwise(mine)
        )
    return changes


TROUBLES = {
    "kill", "stop", "cut", "cut_requests", "hold_back", "stall", "hang_up",
    "forget_scripts", "pause", "out_of_memory", "flush", "restart", "forward", "back",
    "promote", "failover", "death_of_the_primary", "death_of_a_primary", "move_a_slot",
    "sleep_of_the_primary",
}  # fmt: skip
