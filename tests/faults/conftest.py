"""The scoreboard: each fault is a file, and its docstring's first line is its name.

Printed wherever tests of this folder ran; `--scoreboard FILE` writes it too.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

_FAULTS: dict[str, str] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = item.getparent(pytest.Module)
        if module is not None and Path(__file__).parent in module.path.parents:
            says = (module.obj.__doc__ or module.path.stem).strip()
            _FAULTS[item.nodeid] = says.splitlines()[0].rstrip(".")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    met: defaultdict[str, list[bool]] = defaultdict(list)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if report.nodeid in _FAULTS:
                met[_FAULTS[report.nodeid]].append(outcome == "passed")
    if not met:
        return
    rows = [
        f"| {fault} | {sum(results)} of {len(results)} |"
        for fault, results in sorted(met.items())
    ]
    table = ["| fault | tests passed |", "|---|---|", *rows]
    terminalreporter.section("faults")
    for line in table:
        terminalreporter.write_line(line)
    if target := config.getoption("--scoreboard"):
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["# Faults", "", *table, ""]))
