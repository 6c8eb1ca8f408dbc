"""A run's results as tables of Markdown, one for each place in the docs.

A page holds them between `<!-- failover-outages:start -->` and `...:end -->`; what
stands there is replaced, on every page that has the marks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import fill, table

Results = dict[str, Any]

PLACES = {"sentinel": "Sentinel", "cluster": "Cluster"}
NAMES = {"ours": "Redpony", "ours, asyncio": "Redpony, asyncio", "redis-py": "redis-py"}
HOW = {"kill": "primary killed", "request": "failover on request"}
FLAVOURS = {"valkey": "Valkey", "redis": "Redis"}


def outages(found: Results) -> str:
    """Return for how long each application was without a primary."""
    lines = []
    for topology, measured in found.get("outages", {}).items():
        place = f"{PLACES[topology]}, {len(measured['rounds'])} kills"
        lines.append([place, "the servers", _seconds(measured["servers"]), "1", ""])
        for name, one in measured["applications"].items():
            lines.append(
                [
                    place,
                    NAMES[name],
                    _seconds(one["outage"]),
                    _spread(one["ratio"]),
                    f"{1000 * one['slowest']:.0f} ms",
                ]
            )
    head = ["", "", "seconds without a primary", "times the servers'", "longest call"]
    return table(head, lines)


def moments(found: Results) -> str:
    """Return what happens when, by logs and by clocks, in order."""
    parts = []
    for topology, measured in found.get("outages", {}).items():
        told = {
            **measured["moments"],
            "**a replica takes writes**": measured["led"],
            **{
                f"**{NAMES[name]} writes again**": one["outage"]
                for name, one in measured["applications"].items()
            },
        }
        if topology == "sentinel":
            told["**a sentinel names it to those who ask**"] = measured["servers"]
        lines = sorted(told.items(), key=lambda item: item[1][0])
        parts.append(
            table(
                ["seconds", f"{PLACES[topology]}: the primary was killed at 0"],
                [[f"{when[0]:.2f}", what] for what, when in lines],
            )
        )
    return "\n\n".join(parts)


def resharding(found: Results) -> str:
    """Return what a crowd noticed of slots that moved."""
    rows: dict[str, Callable[[Results], str]] = {
        "slots moved": lambda one: f"{one['slots']:,} in {one['took']:.1f} s",
        "crowd": lambda one: f"{one['threads']} threads and {one['tasks']} tasks",
        "DEADLINE": lambda one: f"{one['deadline']:g} s",
        "operations meanwhile": lambda one: f"{one['operations']:,}",
        "errors": lambda one: str(sum(one["errors"].values())),
        "wrong answers": lambda one: str(one["wrong"]),
        "effects that came twice": lambda one: str(one["duplicates"]),
        "acknowledged writes lost": lambda one: str(one["lost"]),
        "longest call": lambda one: f"{1000 * one['held']:.0f} ms",
        "redirections": lambda one: ", ".join(
            f"{count} {word}" for word, count in one["redirections"].items() if count
        ),
    }
    measured = found.get("resharding", {})
    return table(
        ["", *(FLAVOURS[flavour] for flavour in measured)],
        [[name, *map(show, measured.values())] for name, show in rows.items()],
    )


def losses(found: Results) -> str:
    """Return which writes were acknowledged and are not there."""
    lines = []
    for topology, ways in found.get("losses", {}).items():
        for how, measured in ways.items():
            rounds = len(measured["rounds"])
            for mode, name in (("plain", "`SET`"), ("wait", "`SET`, `WAIT 1`")):
                one = measured[mode]
                lines.append(
                    [
                        f"{PLACES[topology]}, {rounds} times: {HOW[how]}",
                        name,
                        f"{one['acknowledged']:,}",
                        f"{one['doubtful']:,}" if mode == "wait" else "",
                        f"{one['lost']:,}",
                        f"{one['rounds_with_a_loss']} of {rounds}",
                        f"{one['silence']:.2f} s",
                    ]
                )
    head = [
        "",
        "writes",
        "acknowledged",
        "by no replica in time",
        "acknowledged and lost",
    ]
    return table([*head, "failovers with a loss", "longest silence"], lines)


def machine(found: Results) -> str:
    """Return one sentence: when and on what this was measured."""
    meta = found["meta"]
    return (
        f"Measured {meta['date']} on {meta['cpu_count']} CPUs, Python "
        f"{meta['python']}, {meta['servers']}, loopback TCP, redis-py "
        f"{meta['redis-py']}. Sentinels take a server for down after "
        f"{meta['down_after_ms']} ms, nodes of a cluster after "
        f"{meta['node_timeout_ms']} ms."
    )


REGIONS: dict[str, Callable[[Results], str]] = {
    "failover-machine": machine,
    "failover-moments": moments,
    "failover-outages": outages,
    "failover-resharding": resharding,
    "failover-losses": losses,
}


def everything(found: Results) -> str:
    """Return all tables, for the terminal."""
    parts = [show(found) for show in REGIONS.values()]
    return "\n\n".join(filter(None, [*parts, figures(found)]))


def fill_pages(root: Path, found: Results) -> None:
    """Put the tables wherever a page has marks for them."""
    for page in sorted((root / "docs").rglob("*.md")):
        for name, show in REGIONS.items():
            fill(page, show(found), name)


# -- figures to reach -----------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A figure to reach: at most so much."""

    what: str
    most: float
    measured: float

    @property
    def reached(self) -> bool:
        return self.measured <= self.most


def targets(found: Results) -> list[Target]:
    """Return the figures to reach, each with what was measured."""
    goals: list[Target] = []
    for topology, measured in found.get("outages", {}).items():
        for name in ("ours", "ours, asyncio"):
            what = f"{PLACES[topology]}, outage of {NAMES[name]}, times the servers'"
            median = measured["applications"][name]["ratio"][0]
            goals.append(Target(what, 1.1, median))
    for flavour, measured in found.get("resharding", {}).items():
        where = f"{FLAVOURS[flavour]}, {measured['slots']:,} slots moved"
        errors = sum(measured["errors"].values())
        goals.append(Target(f"{where}: errors", 0, errors))
        goals.append(Target(f"{where}: wrong answers", 0, measured["wrong"]))
        goals.append(Target(f"{where}: duplicates", 0, measured["duplicates"]))
    return goals


def figures(found: Results) -> str:
    """Return the figures to reach as a table."""
    return table(
        ["figure to reach", "measured", ""],
        [
            [
                f"{each.what}: at most {each.most:g}",
                f"{each.measured:.3g}",
                "reached" if each.reached else "MISSED",
            ]
            for each in targets(found)
        ],
    )


def _seconds(found: list[float]) -> str:
    return f"{found[0]:.2f} ({found[1]:.2f}-{found[2]:.2f})"


def _spread(found: list[float]) -> str:
    return f"{found[0]:.2f} ({found[1]:.2f}-{found[2]:.2f})"
