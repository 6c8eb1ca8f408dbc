"""Deliveries: how soon, for how much CPU, and how many a second without loss.

All sites run at the same time with their browsers connected, and take turns. A pace of
ten messages a second says how long one takes and what a delivery costs; a burst, one
message after the other, how many come through. Who loses some of a burst is asked at
which pace it loses none.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.realtime.children import Failed, Figures, in_turns
from benchmarks.realtime.contestants import Contestant
from benchmarks.realtime.stage import Stage
from benchmarks.results import spread

CLIENTS = 200
RATE = 10
PACES = (25, 50, 100, 200, 400, 800)
"""Messages a second, for who cannot stand a burst."""
LATE = 0.5
"""Seconds after which a message at a steady pace is too late: it does not keep up."""


@dataclass(frozen=True)
class Effort:
    """So many rounds of so many messages at ten a second, and of such a burst."""

    rounds: int
    paced: int
    burst: int
    clients: int = CLIENTS
    seconds: float = 2.0


FULL = Effort(rounds=5, paced=40, burst=300)
QUICK = Effort(rounds=2, paced=15, burst=300, seconds=1.0)

PACED = ("p50_ms", "p99_ms", "cpu_us", "publish_us")
BURST = ("rate", "cpu_us", "publish_us")


def measure(
    port: int, present: Sequence[type[Contestant]], effort: Effort
) -> dict[str, Any]:
    """Return the figures by contestant, or its `error`."""
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        stages: dict[str, Stage] = {}
        for each in present:
            try:
                stages[each.name] = stack.enter_context(Stage(each, port))
                stages[each.name].open(effort.clients)
                stages[each.name].warm()
            except Failed as failed:
                found[each.name] = {"error": str(failed)}
        names = [name for name in stages if name not in found]
        paced = in_turns(
            names, effort.rounds, lambda name: stages[name].say(effort.paced, RATE)
        )
        print("realtime: bursts ...", file=sys.stderr)
        burst = in_turns(
            names, effort.rounds, lambda name: stages[name].say(effort.burst, 0)
        )
        for name in names:
            found[name] = summarise(name, paced, burst)
            if found[name].get("burst_missing") or found[name].get("burst_doubled"):
                found[name]["steady"] = steady(stages[name], effort)
    return found


def summarise(
    name: str,
    paced: Mapping[str, Sequence[Figures]],
    burst: Mapping[str, Sequence[Figures]],
) -> dict[str, Any]:
    """Return one's figures as `[median, smallest, largest]`; ratios within rounds."""
    errors = [each["error"] for each in (*paced[name], *burst[name]) if "error" in each]
    if errors:
        return {"error": errors[0]}
    return {
        **{key: spread(each[key] for each in paced[name]) for key in PACED},
        **{f"burst_{key}": spread(each[key] for each in burst[name]) for key in BURST},
        "cpu_times_ours": _of_ours(name, paced, "cpu_us"),
        "p50_times_ours": _of_ours(name, paced, "p50_ms"),
        "burst_of_ours": _of_ours(name, burst, "rate"),
        **_faults("", paced[name]),
        **_faults("burst_", burst[name]),
    }


def _faults(prefix: str, rounds: Sequence[Figures]) -> dict[str, int]:
    sums = {
        f"{prefix}{key}": sum(each[key] for each in rounds)
        for key in ("delivered", "missing", "doubled", "disordered")
    }
    return {**sums, f"{prefix}lost": rounds[-1]["lost"] if rounds else 0}


def _of_ours(
    name: str, rounds: Mapping[str, Sequence[Figures]], key: str
) -> list[float] | None:
    ours = [each for each in rounds.get("ours", ()) if "error" not in each]
    both = zip(rounds[name], ours, strict=False)
    return spread(one[key] / mine[key] for one, mine in both if mine[key] and one[key])


def steady(stage: Stage, effort: Effort) -> Figures:
    """Return the fastest pace at which nothing is lost, doubled or late."""
    best = 0
    for pace in PACES:
        try:
            said = stage.say(int(pace * effort.seconds), pace)
        except Failed:
            break
        if said["missing"] or said["doubled"] or said["p99_ms"] > 1000 * LATE:
            break
        best = pace
    return {"messages": best, "deliveries": best * effort.clients}
