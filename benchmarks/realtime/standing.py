"""What open streams hold: threads, connections and memory of the site's process.

One contestant after the other, because what is counted is counted, not timed. Memory is
what the process has grown by since a few browsers came and left, over the number.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.realtime.children import Failed, Figures
from benchmarks.realtime.contestants import Contestant
from benchmarks.realtime.stage import Stage
from benchmarks.servers import Measured

NUMBERS = (200, 1000, 5000)
QUICK = (200, 1000)
FEW = 20
SETTLES = 0.5


def measure(
    server: Measured, present: Sequence[type[Contestant]], numbers: Sequence[int]
) -> dict[str, Any]:
    """Return the figures by contestant and number of open streams."""
    return {each.name: stand(server, each, numbers) for each in present}


def stand(
    server: Measured, contestant: type[Contestant], numbers: Sequence[int]
) -> dict[str, Any]:
    """Open more and more streams on one site, and count."""
    found: dict[str, Any] = {}
    try:
        with Stage(contestant, server.port) as stage:
            stage.open(FEW)
            stage.warm()
            stage.leave()
            time.sleep(SETTLES)
            rest = look(server, stage)
            found["0"] = rest
            for number in numbers:
                stage.open(number)
                stage.warm()
                time.sleep(SETTLES)
                here = look(server, stage)
                here["redis"] -= rest["redis"]
                here["kb_a_client"] = (here["bytes"] - rest["bytes"]) / 1000 / number
                found[str(number)] = here
    except Failed as failed:
        found["error"] = str(failed)
    return found


def look(server: Measured, stage: Stage) -> Figures:
    """Return what a site holds now."""
    return {
        "threads": stage.site.threads(),
        "database": stage.site.opened(stage.database),
        "redis": int(server.control.info("clients")["connected_clients"]),
        "bytes": stage.site.resident(),
    }
