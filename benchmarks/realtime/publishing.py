"""What it costs to publish: beside a bare PUBLISH through the same client.

`python -m benchmarks.realtime.publishing PORT ROUNDS TURNS COLOUR` is the process. All
take turns, one operation at a time in random order. There is a subscriber, as a bare
PUBLISH without one would be of no use.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import redis
import redis.asyncio

from benchmarks.contestants import AsyncOperation
from benchmarks.floor import Operation
from benchmarks.interleave import Samples
from benchmarks.locks import turns
from benchmarks.locks.contestants import configure
from benchmarks.locks.uncontended import Asked
from benchmarks.realtime.children import Child, Failed, report
from benchmarks.results import pairs, ratio
from benchmarks.servers import HOST

FLOOR = "ours: PUBLISH"
TITLES = {
    FLOOR: "a bare PUBLISH, Redpony's client",
    "redis-py": "a bare PUBLISH, redis-py",
    "ours": "`publish`",
    "ours, no history": "`publish`, no history",
}
PAYLOAD = {"n": 1, "t": 1_764_000_000_000_000_000, "p": "x" * 160}
BODY = json.dumps(PAYLOAD, separators=(",", ":")).encode()
PATIENCE = 120.0

Effort = tuple[int, int]
FULL: Effort = (31, 60)
QUICK: Effort = (7, 20)


def measure(port: int, effort: Effort) -> dict[str, Any]:
    """Return the figures by colour and contestant, or an `error`."""
    found: dict[str, Any] = {}
    for colour in ("sync", "async"):
        with Child("publishing", port, *effort, colour) as child:
            try:
                found[colour] = child.hear(PATIENCE)
            except Failed as failed:
                found[colour] = {"error": str(failed)}
    return found


# -- in the process of its own ----------------------------------------------------


class Operations:
    """How each of them publishes."""

    def __init__(self, port: int) -> None:
        configure(port)
        import django

        django.setup()
        from redpony.alias import alias_for
        from redpony.conf import alias_config
        from redpony.realtime import Channel
        from redpony.realtime.publishing import PUBLISH

        class Kept(Channel):
            pattern = "kept"

        class Bare(Channel):
            pattern = "bare"
            history = None

        self._port = port
        self._alias = alias_for(alias_config("default"))
        self._command = PUBLISH
        self._kept, self._bare = Kept(), Bare()
        subscriber = redis.Redis(host=HOST, port=port).pubsub()
        for name in ("floor", self._kept.keys.stream, self._bare.keys.stream):
            subscriber.subscribe(name)
        self._subscriber = subscriber

    def sync(self) -> dict[str, Operation]:
        ask, command = self._alias.ask, self._command
        kept, bare = self._kept.publish, self._bare.publish
        client = redis.Redis(host=HOST, port=self._port)
        return {
            FLOOR: lambda: ask(command("floor", BODY)),
            "redis-py": lambda: client.publish("floor", BODY),
            "ours": lambda: kept(PAYLOAD),
            "ours, no history": lambda: bare(PAYLOAD),
        }

    def asynchronous(self) -> dict[str, AsyncOperation]:
        ask, command = self._alias.link.awaiting.ask, self._command
        kept, bare = self._kept.apublish, self._bare.apublish
        client = redis.asyncio.Redis(host=HOST, port=self._port)
        return {
            FLOOR: lambda: ask(command("floor", BODY)),
            "redis-py": lambda: client.publish("floor", BODY),
            "ours": lambda: kept(PAYLOAD),
            "ours, no history": lambda: bare(PAYLOAD),
        }


def summarise(samples: dict[str, Samples]) -> dict[str, Any]:
    """Return medians in microseconds, and ratios to the bare PUBLISH of each client."""
    found: dict[str, Any] = {}
    for name, taken in samples.items():
        walls, cpus = sorted(taken.walls()), sorted(taken.cpus())
        found[name] = {
            "wall_us": walls[len(walls) // 2],
            "cpu_us": cpus[len(cpus) // 2],
            "of_floor": ratio(pairs(taken, samples[FLOOR])),
            "cpu_of_floor": ratio(pairs(taken, samples[FLOOR]), "cpu"),
            "of_redis_py": ratio(pairs(taken, samples["redis-py"])),
        }
    return found


def run(port: int, rounds: int, count: int, colour: str) -> dict[str, Any]:
    """Measure one colour; the server's CPU is that of the sync operations."""
    operations = Operations(port)
    if colour == "async":

        async def measured() -> dict[str, Samples]:
            return await turns.ameasure(operations.asynchronous(), rounds, count)

        return summarise(asyncio.run(measured()))
    mine = operations.sync()
    found = summarise(turns.measure(mine, rounds, count))
    asked = Asked(port)
    for name, operation in mine.items():
        found[name]["server_us"] = asked.cpu(operation)
    return found


if __name__ == "__main__":
    report(run(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
