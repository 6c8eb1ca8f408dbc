"""All lock rows of a run, one after the other; about three minutes, or half a one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.locks import crowd, handover, patience, trial, uncontended
from benchmarks.locks.contestants import CONTESTANTS
from benchmarks.servers import Measured

OVERTIME = patience.OVERTIME
COLOURS = ("sync", "async")


def measure(server: Measured, overtime: float, *, quick: bool) -> dict[str, Any]:
    """Return the figures of all rows, and who takes no part in them and why.

    `overtime` is for how many seconds one is watched who does not give up in time.
    """
    failed = _told("who takes part", lambda: trial.line_up(server.port))
    names = {
        colour: [
            name for name, at in failed.items() if "sync" not in at and colour not in at
        ]
        for colour in COLOURS
    }
    meta = {
        "date": datetime.now(UTC).date().isoformat(),
        "server": server.version,
        "versions": {
            each.name: each.version()
            for each in CONTESTANTS
            if each.name in names["sync"]
        },
        "round_trip_us": 1e6 * handover.round_trip(server.port),
        "quick": quick,
    }
    return {
        "meta": meta,
        "absent": {name: _why(at) for name, at in failed.items() if _why(at)},
        "uncontended": _told(
            "uncontended",
            lambda: uncontended.measure(server.port, names, quick=quick),
        ),
        "handover": _told(
            "handover", lambda: handover.measure(server, names["sync"], quick=quick)
        ),
        "crowd": _told(
            "crowd", lambda: crowd.measure(server, names["async"], quick=quick)
        ),
        "patience": _told(
            "patience",
            lambda: patience.measure(server, names, overtime, quick=quick),
        ),
    }


def _why(failed: dict[str, str]) -> str:
    """Return why somebody does not take part; to have no asyncio is no failure."""
    return "; ".join(
        f"{'asyncio: ' * (colour == 'async')}{why}"
        for colour, why in failed.items()
        if colour == "sync" or not why.startswith("NotOffered")
    )


def _told(what: str, measured: Callable[[], Any]) -> Any:
    print(f"locks: {what} ...", file=sys.stderr)
    return measured()
