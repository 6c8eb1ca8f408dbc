"""Channel layers: consumers of one group in one process, a burst from another one.

`python -m benchmarks.realtime.layers NAME PORT CONSUMERS` is the process of the consumers,
and with 0 of them the one that sends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks.realtime.browsers import Seen, judge
from benchmarks.realtime.children import (
    Child,
    Failed,
    Figures,
    in_turns,
    listen,
    ready,
    report_line,
)
from benchmarks.realtime.contestants import UNLIMITED
from benchmarks.results import spread
from benchmarks.servers import HOST

CONSUMERS = 1000
BURST = 60
PADDING = "x" * 160
GROUP = "board"
START = 60.0
IDLE = 3.0
PATIENCE = 60.0

TITLES = {
    "core": "channels_redis, core (capacity raised)",
    "pubsub": "channels_redis, pub/sub",
    "ours": "Redpony",
}


def configuration(name: str, port: int) -> dict[str, Any]:
    """Return what CHANNEL_LAYERS says."""
    hosts = [{"host": HOST, "port": port, "db": 5, **UNLIMITED}]
    return {
        "core": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # With 100, which is its default, it drops most of a burst.
            "CONFIG": {"hosts": hosts, "capacity": 100_000},
        },
        "pubsub": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": hosts},
        },
        "ours": {"BACKEND": "redpony.contrib.channels.RedisChannelLayer"},
    }[name]


def measure(
    port: int, rounds: int, consumers: int = CONSUMERS, burst: int = BURST
) -> dict[str, Any]:
    """Return the figures of each layer, or why there are none."""
    taken = in_turns(
        list(TITLES), rounds, lambda name: once(name, port, consumers, burst)
    )
    found: dict[str, Any] = {}
    for name, each in taken.items():
        errors = [one["error"] for one in each if "error" in one]
        if errors:
            found[name] = {"error": errors[0]}
            continue
        found[name] = {
            **{
                key: spread(one[key] for one in each)
                for key in ("rate", "cpu_us", "p99_ms")
            },
            **{
                key: sum(one[key] for one in each)
                for key in ("delivered", "missing", "doubled")
            },
        }
    return found


def once(name: str, port: int, consumers: int, burst: int) -> Figures:
    """Send one burst to a fresh crowd."""
    with (
        Child("layers", name, port, consumers) as crowd,
        Child("layers", name, port, 0) as sender,
    ):
        for child in (crowd, sender):
            if (said := child.hear(START)) != "ready":
                raise Failed(said["error"])
        for first, count in ((1, 2), (3, burst)):  # the first ones open connections
            cpu = crowd.cpu()
            began = sender.ask(PATIENCE, first, count)["began"]
            found: Figures = crowd.ask(PATIENCE + 10, first, count)
        found["cpu_us"] = 1e6 * (crowd.cpu() - cpu) / max(1, found["delivered"])
        found["rate"] = found["delivered"] * 1e9 / max(1, found["last"] - began)
        return found


# -- in the processes -------------------------------------------------------------


def layer_of(name: str, port: int) -> Any:
    """Return a layer, as a project gets it."""
    from django.conf import settings

    location = f"redis://{HOST}:{port}/5"
    settings.configure(
        CACHES={
            "default": {
                "BACKEND": "redpony.cache.RedisCache",
                "LOCATION": location,
            }
        },
        CHANNEL_LAYERS={"default": configuration(name, port)},
        SECRET_KEY="of the benchmarks, and of nothing else",
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    import django

    django.setup()
    from channels.layers import get_channel_layer

    return get_channel_layer()


async def send(layer: Any) -> None:
    ready()
    while True:
        first, count = map(int, await asyncio.to_thread(listen))
        began = time.monotonic_ns()
        for number in range(first, first + count):
            now = time.monotonic_ns()
            said = {"type": "said", "n": number, "t": now, "p": PADDING}
            await layer.group_send(GROUP, said)
        report_line({"began": began})


async def consume(layer: Any, consumers: int) -> None:
    seen: list[list[Seen]] = [[] for _ in range(consumers)]
    failures: list[str] = []

    async def one(channel: str, mine: list[Seen]) -> None:
        try:
            while True:
                said = await layer.receive(channel)
                mine.append((said["n"], said["t"], time.monotonic_ns()))
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")

    tasks = []
    for mine in seen:
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        tasks.append(asyncio.create_task(one(channel, mine)))
    ready()
    while True:
        first, count = map(int, await asyncio.to_thread(listen))
        since, before = time.monotonic(), -1
        while time.monotonic() < since + IDLE:
            here = sum(map(len, seen))
            if here >= consumers * count:
                break
            if here != before:
                before, since = here, time.monotonic()
            await asyncio.sleep(0.01)
        found = judge(seen, first, count)
        if failures:
            found["error"] = failures[0]
        report_line(found)
        for mine in seen:
            mine.clear()


def main(name: str, port: int, consumers: int) -> None:
    try:
        layer = layer_of(name, port)
    except Exception as error:
        why = error.__cause__ or error
        print(json.dumps({"error": f"{type(why).__name__}: {why}"}), flush=True)
        return
    asyncio.run(consume(layer, consumers) if consumers else send(layer))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
