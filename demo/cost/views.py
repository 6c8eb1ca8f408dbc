"""The page that shows the meter."""

from __future__ import annotations

from statistics import median
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cost.meter import Cost, history


async def cost(request: HttpRequest) -> HttpResponse:
    """Show the last hundred requests, newest first."""
    return render(request, "cost/cost.html", _figures())


async def latest(request: HttpRequest) -> HttpResponse:
    """Return only the figures, for the page's refresh."""
    return render(request, "cost/figures.html", _figures())


def _figures() -> dict[str, Any]:
    costs = list(reversed(history))
    longest = max((each.milliseconds for each in costs), default=1.0)
    groups = {
        "answered without the database": [c for c in costs if not c.queries],
        "answered with its help": [c for c in costs if c.queries],
    }
    return {
        "rows": [{"cost": each, "bar": _bar(each, longest)} for each in costs],
        "summary": [
            {"name": name, **_medians(group)} for name, group in groups.items()
        ],
    }


def _bar(cost: Cost, longest: float) -> dict[str, float]:
    """Return the widths of the three layers, of a bar 100 wide, and where they start."""
    database = 100 * cost.database / longest
    cache = 100 * cost.cache / longest
    return {
        "database": database,
        "cache": cache,
        "rest": 100 * cost.rest / longest,
        "after_database": database,
        "after_cache": database + cache,
    }


def _medians(costs: list[Cost]) -> dict[str, Any]:
    if not costs:
        return {"count": 0}
    return {
        "count": len(costs),
        "queries": median(each.queries for each in costs),
        "round_trips": median(each.round_trips for each in costs),
        "database": median(each.database for each in costs),
        "cache": median(each.cache for each in costs),
        "rest": median(each.rest for each in costs),
        "total": median(each.milliseconds for each in costs),
    }
