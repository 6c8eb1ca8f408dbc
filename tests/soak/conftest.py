"""Long runs print what they have counted, and keep it for the scoreboard.

`build/soak.json` holds, by run, the sums over all servers: operations whose answer
or effect was checked, how many were stopped, wrong answers, duplicate effects. A run
that was left out this time keeps the figures of its last one.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

Say = Callable[[str], None]
Record = Callable[..., None]

TARGET = Path(__file__).parents[2] / "build" / "soak.json"

_runs: dict[str, Counter[str]] = {}


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def print_it(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="")

    return print_it


@pytest.fixture
def record() -> Record:
    """Return a function that adds figures to a run's: `record("riots", wrong=0)`."""

    def note(run: str, **figures: int) -> None:
        found = _runs.setdefault(run, Counter())
        for name, value in figures.items():
            found[name] += value

    return note


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not _runs:
        return
    meta: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {},
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(TARGET.read_text())["runs"] if TARGET.exists() else {}
    runs = {**before, **{name: dict(run) for name, run in _runs.items()}}
    TARGET.write_text(json.dumps({"meta": meta, "runs": runs}, indent=1) + "\n")
