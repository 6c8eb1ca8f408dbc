"""A crowd comes back, all at once, and each is to be told what it has missed.

It has been away for longer than a process keeps a channel that nobody reads, so it is
the server's history that is read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.realtime.children import Failed, Figures, in_turns
from benchmarks.realtime.contestants import Contestant
from benchmarks.realtime.stage import Stage
from benchmarks.results import spread

CLIENTS = 200
MISSED = 500
AWAY = 6.0
PATIENCE = 60.0


def measure(
    port: int,
    present: Sequence[type[Contestant]],
    rounds: int,
    clients: int = CLIENTS,
    missed: int = MISSED,
) -> dict[str, Any]:
    """Return the figures of all that tell who comes back what it missed."""
    able = {each.name: each for each in present if each.keeps}
    taken = in_turns(
        list(able), rounds, lambda name: come_back(port, able[name], clients, missed)
    )
    return {name: summarise(each) for name, each in taken.items()}


def come_back(
    port: int, contestant: type[Contestant], clients: int, missed: int
) -> Figures:
    """Send a crowd away and let it return; return how long until all have all."""
    with Stage(contestant, port) as stage:
        stage.open(clients)
        last = stage.warm()["last_id"]
        stage.leave()
        began = time.monotonic()
        said = stage.publish(missed, 0)
        time.sleep(max(0.0, began + AWAY - time.monotonic()))
        cpu = stage.site.cpu()
        opened = stage.open(clients, last, PATIENCE)
        words = ("collect", said["first"], missed, PATIENCE)
        found: Figures = stage.browsers.ask(PATIENCE + 10, *words)
        if not found["delivered"]:
            raise Failed("nobody was told what it had missed")
        return {
            **found,
            "seconds": (found["last"] - opened["began"]) / 1e9,
            "cpu_us": 1e6 * (stage.site.cpu() - cpu) / found["delivered"],
        }


def summarise(rounds: Sequence[Figures]) -> Figures:
    """Return the figures over the rounds, or the `error`."""
    errors = [each["error"] for each in rounds if "error" in each]
    if errors:
        return {"error": errors[0]}
    return {
        **{key: spread(each[key] for each in rounds) for key in ("seconds", "cpu_us")},
        **{
            key: sum(each[key] for each in rounds)
            for key in ("delivered", "missing", "doubled", "disordered")
        },
    }
