"""Integers as decimal text, so that INCR and HINCRBY work on them.

Only the canonical text of an integer is an integer: no blanks, no signs but a
minus, no leading zeros, no underscores. A text that decodes encodes to itself.
"""

from __future__ import annotations

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

_LONGEST = 20  # "-9223372036854775808"
_LONGEST_LEGACY = 4301  # Python's own limit for int <-> str, and a sign


def read_int64(data: bytes) -> int | None:
    """Return the integer of 64 bits that `data` is the canonical text of, or None."""
    number = _read(data) if len(data) <= _LONGEST else None
    if number is not None and INT64_MIN <= number <= INT64_MAX:
        return number
    return None


def read_any_int(data: bytes) -> int | None:
    """Return the integer of any size that `data` is the canonical text of, or None."""
    return _read(data) if len(data) <= _LONGEST_LEGACY else None


def _read(data: bytes) -> int | None:
    # int() alone also takes b" 12 " and b"1_000".
    try:
        number = int(data)
        return number if b"%d" % number == data else None
    except ValueError:
        return None
