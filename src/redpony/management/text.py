"""Plain text in columns, readable in any terminal and in a log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

WIDTH: Final = 96


def columns(rows: Sequence[Sequence[str]], *, indent: int = 0) -> Iterator[str]:
    """Lines with every column as wide as its longest cell; the last one wraps."""
    if not rows:
        return
    count = max(len(row) for row in rows)
    widths = [
        max((len(row[index]) for row in rows if index < len(row)), default=0)
        for index in range(count - 1)
    ]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        start = " " * indent + "".join(f"{cell}  " for cell in cells)
        last = row[count - 1] if len(row) == count else ""
        yield from wrapped(last, start)


def wrapped(text: str, start: str) -> Iterator[str]:
    """The text after `start`, its other lines below its first word."""
    room = max(WIDTH - len(start), 40)
    lines = textwrap.wrap(
        text, room, break_long_words=False, break_on_hyphens=False
    ) or [""]
    yield (start + lines[0]).rstrip()
    for line in lines[1:]:
        yield " " * len(start) + line


def points(texts: Sequence[str], *, indent: int = 2) -> Iterator[str]:
    """A list, one point a text."""
    for text in texts:
        yield from wrapped(text, " " * indent + "- ")


def size(count: int | None) -> str:
    """Bytes for people: `1.5 MB`."""
    if count is None:
        return "-"
    number, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def span(seconds: float | None) -> str:
    """A time for people: `3 h 05 min`."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
