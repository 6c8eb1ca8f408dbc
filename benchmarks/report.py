"""A run's results as tables of Markdown: printed, and filled into the docs."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from benchmarks.locks import report as locks
from benchmarks.realtime import report as realtime
from benchmarks.results import Results
from benchmarks.rows import BY_NAME
from benchmarks.tables import number, spread, table
from benchmarks.targets import LOCKS, REALTIME, TARGETS, Target, verdicts

START, END = "<!-- bench:start -->", "<!-- bench:end -->"

APART: dict[str, tuple[ModuleType, Sequence[Target]]] = {
    "locks": (locks, LOCKS),
    "realtime": (realtime, REALTIME),
}
"""Sections with tables and figures of their own, and a region of their own in the docs."""

COLUMNS = {
    "ours": "Redpony",
    "redis-py": "redis-py (nothing decoded)",
    "django-redis": "django-redis",
    "django-valkey": "django-valkey",
    "django": "Django",
}
README_HEAD = (
    "Time of one operation, as a multiple of a bare socket's (or, for `aget`, of a "
    "bare `asyncio.Protocol`'s):"
)
README_ROWS = ("get", "set", "incr", "get_many", "set_many", "aget_1", "aget_200")


def ratios(results: Results, only: Sequence[str] | None = None) -> str:
    """Return the time of each contestant as a multiple of the floor's."""
    return table(
        ["operation", "bare socket", *COLUMNS.values()],
        [
            [
                BY_NAME[name].title,
                _microseconds(row.get("floor"), "wall_us"),
                *(_times(row.get(each)) for each in COLUMNS),
            ]
            for name, row in results["rows"].items()
            if only is None or name in only
        ],
    )


def against(results: Results) -> str:
    """Return ours against floor and best peer, with smallest and largest ratio."""
    return table(
        ["operation", "times the floor", "faster than the best peer", "best peer"],
        [
            [
                BY_NAME[name].title,
                spread(row["ours"].get("of_floor")),
                spread(row["ours"].get("faster_than_best_peer")),
                str(row["ours"].get("best_peer", "-")),
            ]
            for name, row in results["rows"].items()
            if "wall_us" in row.get("ours", {})
        ],
    )


def processor(results: Results) -> str:
    """Return the CPU time of each contestant, in microseconds per operation."""
    return table(
        ["operation, CPU us", "bare socket", *COLUMNS.values()],
        [
            [
                BY_NAME[name].title,
                *(_number(row.get(each), "cpu_us") for each in ("floor", *COLUMNS)),
            ]
            for name, row in results["rows"].items()
        ],
    )


def round_trips(results: Results) -> str:
    """Return the flights to the server that each operation takes."""
    return table(
        ["round trips", *COLUMNS.values()],
        [
            [
                BY_NAME[name].title,
                *(_number(row.get(each), "round_trips") for each in COLUMNS),
            ]
            for name, row in results["rows"].items()
            if any("round_trips" in figures for figures in row.values())
        ],
    )


def outage(results: Results) -> str:
    """Return the seconds that a silent server held its callers."""
    lines = []
    for scene, row in results["outage"].items():
        for name, held in row.items():
            calls = ", ".join(f"{seconds:.2f}" for seconds in held["calls"])
            open_ms = held["open_ms"]
            lines.append(
                [
                    f"server {scene}",
                    _title(name),
                    f"more than {calls}" if held["still_held"] else calls,
                    "-" if open_ms is None else f"{open_ms:.3f} ms",
                    held["error"],
                ]
            )
    head = ["", "", "seconds held, call by call", "breaker open", "error"]
    return table(head, lines)


def connections(results: Results) -> str:
    """Return what 300 threads cost in connections."""
    lines = []
    for colour, row in results["connections"].items():
        for name, crowd in row.items():
            figures = [
                str(crowd.get(key, "-"))
                for key in ("peak", "accepted", "refused", "calls")
            ]
            lines.append([colour, _title(name), *figures, crowd["error"]])
    head = ["300 threads", "", "at once", "opened in all", "refused", "calls", "error"]
    return table(head, lines)


def cluster(results: Results) -> str:
    """Return how much longer 300 keys take over three primaries than on one server."""
    lines = [
        [
            f"`{'a' if colour == 'async' else ''}get_many` of 300",
            _title(name),
            f"{_number(taken, 'wall_us')} us",
            spread(taken["of_one_server"]),
        ]
        for colour, row in results["cluster"].items()
        for name, taken in row.items()
    ]
    return table(
        ["cluster of three primaries", "", "time", "times one server's"], lines
    )


def figures(results: Results, targets: Sequence[Target] = TARGETS) -> str:
    """Return the targets, each with the figure of this run."""
    return table(
        ["figure to reach", "measured", ""],
        [
            [
                str(target),
                "-" if value is None else f"{value:.3g}{target.unit}",
                "reached" if reached else "MISSED",
            ]
            for target, value, reached in verdicts(results, targets)
        ],
    )


def machine(results: Results) -> str:
    """Return one sentence: when and on what this was measured."""
    meta = results["meta"]
    versions = ", ".join(
        f"{_title(name)} {v}" for name, v in meta["versions"].items() if v
    )
    return (
        f"Measured {meta['date']} on {meta['cpu_count']} CPUs, Python "
        f"{meta['python']}, {meta['server']}, loopback TCP; {versions}."
    )


def everything(results: Results) -> str:
    """Return all tables but those that stand apart, for the terminal and for the docs."""
    parts = [machine(results), ratios(results), against(results), processor(results)]
    parts.append(round_trips(results))
    if "outage" in results:
        parts.append(outage(results))
    if "cluster" in results:
        parts.append(cluster(results))
    if "connections" in results:
        parts.append(connections(results))
    parts.append(figures(results))
    notes = failures(results)
    return "\n\n".join([*parts, notes] if notes else parts)


def apart(results: Results, name: str) -> str:
    """Return all tables of a section that has its own, and the figures to reach."""
    shown, targets = APART[name]
    return "\n\n".join([shown.everything(results[name]), figures(results, targets)])


def failures(results: Results) -> str:
    """Return a list of what a contestant could not do."""
    found = [f"- {_title(name)}: {why}" for name, why in results["absent"].items()]
    for name, row in results["rows"].items():
        for contestant, taken in row.items():
            if "error" in taken:
                lost = f"{taken['lost']} slices lost, " if "lost" in taken else ""
                title = BY_NAME[name].title
                found.append(f"- {_title(contestant)}, {title}: {lost}{taken['error']}")
    return "\n".join(["What failed:", "", *found]) if found else ""


def readme(results: Results) -> str:
    """Return the short table of the README."""
    return "\n\n".join(
        [
            README_HEAD,
            ratios(results, README_ROWS),
            machine(results),
        ]
    )


def _title(name: str) -> str:
    return COLUMNS.get(name, name.replace("ours", "Redpony")).partition(" (")[0]


def _times(figures: dict[str, Any] | None) -> str:
    found = (figures or {}).get("of_floor")
    return "-" if not found else f"{found[0]:.1f}x"


def _microseconds(figures: dict[str, Any] | None, key: str) -> str:
    found = _number(figures, key)
    return found if found == "-" else f"{found} us"


def _number(figures: dict[str, Any] | None, key: str) -> str:
    return number((figures or {}).get(key))
