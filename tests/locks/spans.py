"""Spans of time: pairs of a beginning and an end, in order and apart."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[float, float]


def union(spans: Iterable[Span]) -> list[Span]:
    """Return when at least one of the spans is."""
    found: list[Span] = []
    for began, ended in sorted(each for each in spans if each[1] > each[0]):
        if found and began <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return found


def without(spans: list[Span], others: list[Span]) -> list[Span]:
    """Return when one of the spans is and none of the others; both are unions."""
    found = []
    others = iter(others)  # type: ignore[assignment]
    other = next(others, None)  # type: ignore[call-overload]
    for began, ended in spans:
        while other is not None and other[1] <= began:
            other = next(others, None)  # type: ignore[call-overload]
        while other is not None and other[0] < ended:
            if other[0] > began:
                found.append((began, other[0]))
            began = max(began, other[1])
            if other[1] > ended:
                break
            other = next(others, None)  # type: ignore[call-overload]
        if began < ended:
            found.append((began, ended))
    return found


def meets(spans: Iterable[Span], began: float, ended: float) -> bool:
    """Return whether one of the spans has a moment in common with another."""
    return any(each[0] <= ended and each[1] >= began for each in spans)
