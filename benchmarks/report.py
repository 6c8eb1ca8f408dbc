"""A run's results as tables of Markdown: printed, and filled into the docs.

README and the page of the docs hold a region between two comments; what stands
between them is replaced, everything else is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Results
from benchmarks.rows import BY_NAME
from benchmarks.targets import verdicts

START, END = "<!-- bench:start -->", "<!-- bench:end -->"

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


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, its columns aligned."""
    body = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *body]) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in [list(head), rule, *body]
    )


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


def spread(results: Results) -> str:
    """Return ours against floor and best peer, with smallest and largest ratio."""
    return table(
        ["operation", "times the floor", "faster than the best peer", "best peer"],
        [
            [
                BY_NAME[name].title,
                _spread(row["ours"].get("of_floor")),
                _spread(row["ours"].get("faster_than_best_peer")),
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
            _spread(taken["of_one_server"]),
        ]
        for colour, row in results["cluster"].items()
        for name, taken in row.items()
    ]
    return table(
        ["cluster of three primaries", "", "time", "times one server's"], lines
    )


def figures(results: Results) -> str:
    """Return the targets, each with the figure of this run."""
    return table(
        ["figure to reach", "measured", ""],
        [
            [
                str(target),
                "-" if value is None else f"{value:.3g}{target.unit}",
                "reached" if reached else "MISSED",
            ]
            for target, value, reached in verdicts(results)
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
    """Return all tables, for the terminal and for the docs."""
    parts = [machine(results), ratios(results), spread(results), processor(results)]
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


def fill(path: Path, text: str, name: str = "bench") -> bool:
    """Put text between the two marks of a file; False where it has no marks."""
    if not path.exists():
        return False
    first, last = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, start, rest = path.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not (start and end):
        return False
    path.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}")
    return True


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


def _spread(found: list[float] | None) -> str:
    return "-" if not found else f"{found[0]:.2f} ({found[1]:.2f}-{found[2]:.2f})"


def _microseconds(figures: dict[str, Any] | None, key: str) -> str:
    found = _number(figures, key)
    return found if found == "-" else f"{found} us"


def _number(figures: dict[str, Any] | None, key: str) -> str:
    value = (figures or {}).get(key)
    return "-" if value is None else f"{value:.3g}"
