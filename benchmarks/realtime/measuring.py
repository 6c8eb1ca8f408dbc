"""All real-time rows of a run, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.realtime import (
    herd,
    layers,
    publishing,
    speed,
    standing,
)
from benchmarks.realtime.contestants import line_up
from benchmarks.servers import Measured


def measure(server: Measured, *, quick: bool) -> dict[str, Any]:
    """Return the figures of all rows, and who takes no part in them and why."""
    present, absent = line_up()
    port = server.port
    return {
        "meta": {
            "date": datetime.now(UTC).date().isoformat(),
            "server": server.version,
            "versions": {each.distribution: each.version() for each in present},
            "load": os.getloadavg()[0],
            "quick": quick,
        },
        "absent": absent,
        "standing": _told(
            "threads, connections, memory",
            lambda: standing.measure(
                server, present, standing.QUICK if quick else standing.NUMBERS
            ),
        ),
        "speed": _told(
            "deliveries",
            lambda: speed.measure(port, present, speed.QUICK if quick else speed.FULL),
        ),
        "herd": _told(
            "a crowd comes back",
            lambda: herd.measure(port, present, 1 if quick else 3),
        ),
        "layers": _told(
            "channel layers", lambda: layers.measure(port, 1 if quick else 3)
        ),
        "publishing": _told(
            "publishing",
            lambda: publishing.measure(
                port, publishing.QUICK if quick else publishing.FULL
            ),
        ),
    }


def _told(what: str, measured: Callable[[], Any]) -> Any:
    print(f"realtime: {what} ...", file=sys.stderr)
    return measured()
