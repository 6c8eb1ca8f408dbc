"""Many contenders, and everything that can go wrong: the promises hold all the time.

The short form, about a minute in all; `make soak` has the long one. A part a form of
servers; each prints what it has counted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.locks.parts import SHORT, held_to


@pytest.mark.parametrize("part", SHORT)
def test_the_promises_hold_while_everything_breaks(
    part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, broken = held_to(part, tmp_path, SHORT[part], seed=20261122)
    with capsys.disabled():
        print(f"\n  {part}: {figures}", end="")
    assert broken == {}
    assert figures["holdings"] > 100
