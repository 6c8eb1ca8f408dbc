"""What the fault suite found, as plain data, and that as a table.

`faults[F4]` has a title and, by topology, how many tests passed, how many there
are, and the figures that they recorded. A test that has no place stands under
"anywhere".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.places import TOPOLOGIES

ANYWHERE = "anywhere"
COLUMNS = (*TOPOLOGIES, ANYWHERE)

TITLE = "fault"
"""The property of a test that holds what its module is about."""

WORST = frozenset({"held", "outage", "servers", "connections", "recovered", "memory"})
"""Figures of which the largest counts; all others are added up."""

UNITS = {"outage": " s", "recovered": " s", "memory": " MiB"}
"""What a figure is measured in that is no count."""

PROMISES = ("wrong", "duplicates", "slots")
"""What must be 0 after every fault."""

Results = dict[str, Any]


class Board:
    """Collects what tests report while they run."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}
        self._met: dict[str, bool] = {}
        self._properties: dict[str, list[tuple[str, Any]]] = {}

    def note(self, report: pytest.TestReport) -> None:
        """Take in one phase of a test: it passed if all of its phases did.

        It counts to the fault that its module's docstring names. (That comes with
        the report, so that it does from another process too.)
        """
        about = dict(report.user_properties).get(TITLE)
        if about is None:
            return
        self._titles[report.nodeid] = about.strip().splitlines()[0].rstrip(".")
        passed = self._met.get(report.nodeid, True) and report.outcome == "passed"
        self._met[report.nodeid] = passed
        if report.when == "teardown":
            self._properties[report.nodeid] = list(report.user_properties)

    def results(self) -> Results:
        """Return everything as data that JSON can hold."""
        faults: dict[str, Any] = {}
        for nodeid, passed in self._met.items():
            name, title = split(self._titles[nodeid])
            properties = self._properties.get(nodeid, [])
            fault = faults.setdefault(name, {"title": title, "places": {}})
            topology = dict(properties).get("topology", ANYWHERE)
            cell = fault["places"].setdefault(
                topology, {"passed": 0, "tests": 0, "figures": {}}
            )
            cell["tests"] += 1
            cell["passed"] += passed
            for key, figures in properties:
                if key == "figures":
                    combine(cell["figures"], figures)
        return {"faults": dict(sorted(faults.items(), key=lambda item: order(item[0])))}


def split(title: str) -> tuple[str, str]:
    """Return a fault's name and title; what is no fault of the list has one name."""
    found = re.fullmatch(r"(F\d+): (.*)", title)
    return (found[1], found[2]) if found else (title, title)


def order(name: str) -> tuple[int, str]:
    """Return what sorts F2 before F10."""
    found = re.fullmatch(r"F(\d+)", name)
    return (int(found[1]) if found else 1000, name)


def combine(into: dict[str, float], figures: Mapping[str, float]) -> None:
    """Put one test's figures to those of others."""
    for name, value in figures.items():
        if name in WORST:
            into[name] = max(into.get(name, 0), value)
        else:
            into[name] = into.get(name, 0) + value


def totals(results: Results) -> dict[str, float]:
    """Return the figures of all faults and places together."""
    found: dict[str, float] = {}
    for cell in cells(results):
        combine(found, cell["figures"])
    found["tests"] = sum(cell["tests"] for cell in cells(results))
    found["passed"] = sum(cell["passed"] for cell in cells(results))
    return found


def cells(results: Results) -> Iterable[dict[str, Any]]:
    for fault in results["faults"].values():
        yield from fault["places"].values()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, its columns aligned."""
    body = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in body) for i in range(len(head))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in [body[0], ["-" * width for width in widths], *body[1:]]
    ]
    return "\n".join(lines)


def matrix(results: Results) -> str:
    """Return fault by topology: tests passed, and the worst that was seen."""
    used = [
        column
        for column in COLUMNS
        if any(column in fault["places"] for fault in results["faults"].values())
    ]
    rows = []
    for name, fault in results["faults"].items():
        figures: dict[str, float] = {}
        for cell in fault["places"].values():
            combine(figures, cell["figures"])
        title = name if fault["title"] == name else f"{name} {fault['title']}"
        rows.append(
            [
                title,
                *(_passed(fault["places"].get(column)) for column in used),
                *(_number(figures.get(each)) for each in ("operations", *PROMISES)),
                _milliseconds(figures.get("held")),
            ]
        )
    head = ["fault", *used, "operations", "wrong", "duplicates", "slots", "held"]
    return table(head, rows)


def others(results: Results) -> str:
    """Return the figures that only some tests record, by fault and topology."""
    shown = {"operations", "held", *PROMISES}
    shown |= {"answered", "unknown", "not_sent", "refused", "lost", "stale"}
    shown |= {"servers"}  # `make failover` measures what the servers need, often
    rows = []
    for name, fault in results["faults"].items():
        for topology, cell in fault["places"].items():
            for figure, value in cell["figures"].items():
                if figure not in shown:
                    shows = f"{value:,.4g}{UNITS.get(figure, '')}"
                    rows.append([name, topology, figure.replace("_", " "), shows])
    return table(["fault", "topology", "figure", "value"], rows) if rows else ""


def write(path: Path, results: Results) -> None:
    """Write Markdown to a file, and JSON beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["# Faults", "", matrix(results), ""]))
    path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


def _passed(cell: dict[str, Any] | None) -> str:
    return "" if cell is None else f"{cell['passed']} of {cell['tests']}"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.0f}"


def _milliseconds(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{1000 * seconds:,.0f} ms"
