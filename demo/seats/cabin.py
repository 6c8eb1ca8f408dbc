"""The cabin: which seats there are, and which are still for sale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROWS = range(24, 34)
LETTERS = "ABCDEF"
LAST_SEATS = (
    *("24E", "25B", "26A", "26F", "27C", "28D"),
    *("29B", "29E", "30F", "31A", "32C", "33D"),
)
"""The seats that are left; everything else was sold before."""

BUYERS = 40


def plan(buyers: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    """Return the cabin row by row, with who has a ticket for each seat."""
    return [
        {
            "number": row,
            "seats": [_seat(f"{row}{letter}", buyers) for letter in LETTERS],
        }
        for row in ROWS
    ]


def _seat(name: str, buyers: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    if name not in LAST_SEATS:
        return {"name": name, "state": "before"}
    who = buyers.get(name, ())
    state = "free" if not who else "sold" if len(who) == 1 else "twice"
    return {"name": name, "state": state, "buyers": list(who)}
