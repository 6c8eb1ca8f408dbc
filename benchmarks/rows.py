"""What is measured: one `Row` an operation, the same values for everybody.

A contestant answers each row with a callable of no arguments. Before anything
is timed, `check` looks at what it returns: a contestant that gives a wrong
answer, or none, is left out of the row and said so.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

SMALL: dict[str, Any] = {"id": 1, "name": "Ada Lovelace", "active": True}
MANY: dict[str, dict[str, Any]] = {
    f"many:{i:03}": {"id": i, "name": f"user {i}", "active": i % 2 == 0}
    for i in range(100)
}
LARGE = random.Random(13).randbytes(100_000)

TIMEOUT = 300
THREADS = 8

Kind = Literal["sync", "threads", "async"]


@dataclass(frozen=True)
class Row:
    """One line of the table; `concurrency` is threads or tasks at once."""

    name: str
    title: str
    kind: Kind
    check: Callable[[Any], bool]
    concurrency: int = 1
    counts_round_trips: bool = False


def _is_small(answer: Any) -> bool:
    return bool(answer == SMALL)


def _is_many(answer: Any) -> bool:
    return bool(answer == MANY)


def _anything(_: Any) -> bool:
    return True


ROWS: tuple[Row, ...] = (
    Row("get", "`get`, small dict", "sync", _is_small, counts_round_trips=True),
    Row("set", "`set`, small dict", "sync", _anything, counts_round_trips=True),
    Row(
        "incr",
        "`incr`",
        "sync",
        lambda answer: isinstance(answer, int),
        counts_round_trips=True,
    ),
    Row(
        "missing",
        "`get`, missing key",
        "sync",
        lambda answer: answer is None,
        counts_round_trips=True,
    ),
    Row("get_many", "`get_many` of 100", "sync", _is_many),
    Row("set_many", "`set_many` of 100", "sync", _anything),
    Row(
        "get_large",
        "`get`, 100 kB",
        "sync",
        lambda answer: bool(answer == LARGE),
    ),
    Row("set_large", "`set`, 100 kB", "sync", _anything),
    Row("threads", f"`get`, {THREADS} threads", "threads", _is_small, THREADS),
    Row("aget_1", "`aget`, one at a time", "async", _is_small, 1),
    Row("aget_20", "`aget`, 20 concurrent", "async", _is_small, 20),
    Row("aget_200", "`aget`, 200 concurrent", "async", _is_small, 200),
)

BY_NAME = {row.name: row for row in ROWS}
