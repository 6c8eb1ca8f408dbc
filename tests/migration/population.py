"""The keys and values that old and new processes share.

Each key holds one type of value, in one of ten generations: a reader that meets
another process' write knows the value to be right if it is one of the ten.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import uuid
from typing import Any

GENERATIONS = range(10)
COUNTER = "counter"
TIMEOUT = 5000


class Colour(enum.IntEnum):
    RED = 1
    GREEN = 2


class Point:
    """A class of the project's own."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return hash(self.x)


def portable(generation: int) -> dict[str, Any]:
    """Return the values that JSON gives back as they were."""
    return {
        "text": f"generation {generation}",
        "text:accents": f"Iñtërnâtiônàlizætiøn {generation} 你好",
        "text:digits": str(generation),
        "text:negative": f"-{generation}",
        "text:long": f"{generation} compresses well " * 400,
        "text:empty": "",
        "none": None,
        "true": True,
        "false": False,
        "int": generation,
        "int:negative": -generation - 1,
        "int:64": 2**63 - 1 - generation,
        "int:huge": 2**200 + generation,
        "float": generation + 0.5,
        "list": [generation, "a", None, 1.5, [True]],
        "dict": {"generation": generation, "nested": {"list": [1, 2]}},
        "empty:list": [],
        "empty:dict": {},
    }


def everything(generation: int) -> dict[str, Any]:
    """Return the values that pickle gives back as they were."""
    day = dt.datetime(2026, 1, 1 + generation, 12, 30, tzinfo=dt.UTC)
    return portable(generation) | {
        "bytes": bytes([generation, 0, 255]),
        "bytes:digits": b"%d" % generation,
        "bytes:empty": b"",
        "tuple": (generation, (1, 2)),
        "set": {generation, "a"},
        "frozenset": frozenset({generation}),
        "dict:keys": {generation: "int", (1, 2): "tuple", None: "none"},
        "datetime": day,
        "date": day.date(),
        "timedelta": dt.timedelta(days=generation, microseconds=1),
        "decimal": decimal.Decimal(generation) / 8,
        "fraction": fractions.Fraction(generation + 1, 3),
        "uuid": uuid.UUID(int=generation),
        "enum": Colour.RED if generation % 2 else Colour.GREEN,
        "complex": complex(generation, 1),
        "instance": Point(generation),
    }


POPULATIONS = {"portable": portable, "everything": everything}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one type, all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return True
