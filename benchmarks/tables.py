"""Tables of Markdown, their cells, and the places in the docs where they stand.

A page holds a region between two comments; what stands between them is replaced,
everything else is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, its columns aligned."""
    body = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *body]) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in [list(head), rule, *body]
    )


def spread(found: Sequence[float] | None) -> str:
    """Return a median with the smallest and the largest."""
    return "-" if not found else f"{found[0]:.2f} ({found[1]:.2f}-{found[2]:.2f})"


def number(value: float | None) -> str:
    """Return a number in three digits."""
    return "-" if value is None else f"{value:.3g}"


def fill(path: Path, text: str, name: str = "bench") -> bool:
    """Put text between the two marks of a file; False where it has no marks."""
    if not path.exists():
        return False
    first, last = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, start, rest = path.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not (start and end):
        return False
    path.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}")
    return True
