"""The page "What happens when" has a row for each fault that is tested, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "topics" / "what-happens-when.md"

WANTED = {*range(1, 33), 38, 39, 40}
"""The faults of the catalogue that this release is held to."""


def rows():
    return [
        int(number)
        for number in re.findall(r"^\| F(\d+) \|", PAGE.read_text(), re.MULTILINE)
    ]


def test_each_tested_fault_has_a_row():
    files = (ROOT / "tests" / "faults").glob("test_f[0-9]*.py")
    tested = [int(re.match(r"test_f(\d+)", each.name)[1]) for each in files]
    assert sorted(tested) == sorted(WANTED)
    assert sorted(rows()) == sorted(WANTED)
