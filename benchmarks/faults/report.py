"""A run's figures as tables of Markdown. What was not measured says so.

`results["suite"]` is what the tests found (`tests/faults/scoreboard.py`),
`results["peers"][fault][contestant]` what a contestant's process printed, and
`results["soak"]` what the last `make soak` counted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.faults.contestants import CONTESTANTS
from benchmarks.faults.scenes import SCENES
from tests.faults import scoreboard
from tests.faults.scoreboard import table

Results = dict[str, Any]
Figures = dict[str, Any]

START, END = "<!-- faults:start -->", "<!-- faults:end -->"

TITLES = {
    **{name: title for name, (title, _) in SCENES.items()},
    "interrupted": "is well, and a signal interrupts the caller 20,000 times",
    "page-killed": "is killed for 10 s",
    "page-frozen": "hangs for 10 s",
}
PAGES = ("page-killed", "page-frozen")
CROWDS = (*SCENES, "interrupted")
COUNTED = [each for each in SCENES if each not in ("half-open", "storm")]
"""Those under which somebody counts."""

NONE = "not measured"


def everything(results: Results) -> str:
    """Return all tables, for the terminal and for the docs."""
    parts = [
        "### Every fault, on every topology",
        suite(results),
        "### The peers under the same faults",
        machine(results.get("peers", {}).get("meta")),
        "### Longest time a caller was held",
        by_fault(results, held, SCENES),
        "### Share of calls answered within a second, without an exception",
        by_fault(results, answered, SCENES),
        "### Wrong answers",
        by_fault(results, partial(number, "wrong"), CROWDS),
        "### Increments that ran twice",
        by_fault(results, partial(number, "duplicates"), COUNTED),
        "### Connections and places of the pool afterwards",
        by_fault(results, left, ("storm", "disconnected", "interrupted")),
        "### A page at 100 requests a second",
        by_fault(results, page, PAGES),
        "### Long runs",
        soak(results),
    ]
    return "\n\n".join(parts)


# -- the suite ----------------------------------------------------------------


def suite(results: Results) -> str:
    """Return the matrix of the tests, with its sums and other figures."""
    found = results.get("suite")
    if not found:
        return f"The suite was {NONE}."
    parts = [machine(found.get("meta")), scoreboard.matrix(found)]
    total = scoreboard.totals(found)
    parts.append(
        f"{total['passed']:.0f} of {total['tests']:.0f} tests passed; "
        f"{total.get('operations', 0):,.0f} checked operations, "
        f"{_whole(total.get('wrong'))} wrong answers, "
        f"{_whole(total.get('duplicates'))} duplicate effects, "
        f"{_whole(total.get('slots'))} slots in use afterwards."
    )
    if others := scoreboard.others(found):
        parts.append(others)
    return "\n\n".join(parts)


# -- the peers ----------------------------------------------------------------


def by_fault(
    results: Results, cell: Callable[[Figures], str], faults: Iterable[str]
) -> str:
    """Return one figure of all contestants, a row a fault."""
    found = results.get("peers", {})
    rows = []
    for fault in faults:
        row = found.get("faults", {}).get(fault, {})
        cells = (_cell(row.get(name), cell) for name in CONTESTANTS)
        rows.append([TITLES[fault], *cells])
    head = ["the server ...", *(each.title for each in CONTESTANTS.values())]
    return table(head, rows)


def _cell(figures: Figures | None, cell: Callable[[Figures], str]) -> str:
    if figures is None:
        return NONE
    if "crashed" in figures:
        return f"crashed ({figures['crashed']})"
    return cell(figures)


def held(figures: Figures) -> str:
    if "held" not in figures:
        return NONE
    more = "more than " if figures.get("still_held") else ""
    return f"{more}{_seconds(figures['held'])}"


def answered(figures: Figures) -> str:
    if "prompt" not in figures or not figures.get("calls"):
        return NONE
    share = _share(figures["prompt"], figures["calls"])
    errors = figures.get("errors", {})
    if errors:
        often = max(errors, key=errors.__getitem__)
        return f"{share} (`{often}`)"
    return share


def number(name: str, figures: Figures) -> str:
    return _whole(figures.get(name))


def left(figures: Figures) -> str:
    parts = []
    if figures.get("connections") is not None:
        parts.append(f"{figures['connections']} connections")
    if "slots" in figures:
        parts.append(f"{figures['slots']} of {figures['of_slots']} places lost")
    return ", ".join(parts) or NONE


def page(figures: Figures) -> str:
    if not figures.get("requests"):
        return NONE
    share = _share(figures["good"], figures["requests"])
    prompt = _share(figures["prompt"], figures["requests"])
    more = "more than " if figures["unanswered"] else ""
    p99 = f"p99 {more}{_seconds(figures['p99'])}"
    return f"{share} good, {prompt} within a second, {p99}"


# -- the long runs --------------------------------------------------------------


def soak(results: Results) -> str:
    """Return what `make soak` counted."""
    found = results.get("soak")
    if not found:
        return f"They were {NONE}."
    runs = found["runs"]
    rows = [
        [
            name,
            _whole(figures.get("operations")),
            _whole(figures.get("stopped")),
            _whole(figures.get("wrong")),
            _whole(figures.get("duplicates")),
        ]
        for name, figures in runs.items()
    ]
    rows.append(
        ["together"]
        + [
            _whole(sum(figures.get(key, 0) for figures in runs.values()))
            for key in ("operations", "stopped", "wrong", "duplicates")
        ]
    )
    head = ["run", "checked operations", "cut, killed, cancelled or interrupted"]
    parts = [machine(found.get("meta")), table([*head, "wrong", "duplicates"], rows)]
    return "\n\n".join(parts)


def machine(meta: dict[str, Any] | None) -> str:
    """Return one sentence: when and on what this was measured."""
    if not meta:
        return f"When and where was {NONE}."
    found = [f"Python {meta['python']}"]
    found += [f"{name} {version}" for name, version in meta["versions"].items()]
    cpus = meta["cpu_count"]
    return f"Measured {meta['date']} on {cpus} CPUs; {', '.join(found)}."


def fill(path: Path, text: str) -> bool:
    """Put text between the two marks of a file; False where it has no marks."""
    if not path.exists():
        return False
    before, start, rest = path.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        return False
    path.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}")
    return True


def _seconds(seconds: float) -> str:
    if seconds < 0.0995:
        return f"{1000 * seconds:.1f} ms"
    return f"{seconds:.2f} s"


def _share(part: int, whole: int) -> str:
    if part == whole:
        return "100 %"
    # Nothing is rounded up to all, nor down to nothing.
    return f"{min(99.9, max(0.1 if part else 0.0, 100 * part / whole)):.1f} %"


def _whole(number: float | None) -> str:
    return NONE if number is None else f"{number:,.0f}"


def crash(code: int) -> str:
    """Return what ended a process, by its exit code."""
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"
