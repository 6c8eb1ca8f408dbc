"""The real-time rows as tables of Markdown: printed, and filled into the docs.

A page holds them between `<!-- bench-realtime:start -->` and `...:end -->`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.realtime import herd, layers, publishing, speed
from benchmarks.realtime.contestants import TITLES
from benchmarks.tables import number, spread, table

REGION = "bench-realtime"

Found = dict[str, Any]

COLOURS = {"sync": "", "async": ", asyncio"}


def everything(found: Found) -> str:
    """Return all tables and what failed."""
    parts = (
        machine,
        standing,
        paced,
        bursts,
        returning,
        channel_layers,
        publishes,
        failures,
    )
    return "\n\n".join(filter(None, (part(found) for part in parts)))


def machine(found: Found) -> str:
    """Return one sentence: when and with what this was measured."""
    meta = found["meta"]
    versions = ", ".join(f"{name} {each}" for name, each in meta["versions"].items())
    return (
        f"Real time, measured {meta['date']}, {meta['server']}, loopback TCP, load "
        f"{meta['load']:.1f} at the start; {versions}."
    )


def standing(found: Found) -> str:
    """Return what open streams hold."""
    lines = [
        [
            TITLES[name],
            f"{int(count):,}",
            str(at["threads"]),
            str(at["database"]),
            str(at["redis"]),
            "-" if count == "0" else f"{at['kb_a_client']:.1f} kB",
        ]
        for name, row in found["standing"].items()
        for count, at in row.items()
        if count != "error"
    ]
    head = [
        "open streams",
        "",
        "threads",
        "database connections",
        "server connections",
        "memory a client",
    ]
    return table(head, lines)


def paced(found: Found) -> str:
    """Return how soon messages come, and what a delivery costs."""
    lines = [
        [
            TITLES[name],
            spread(taken["p50_ms"]),
            spread(taken["p99_ms"]),
            spread(taken["cpu_us"]),
            spread(taken["p50_times_ours"]),
            spread(taken["cpu_times_ours"]),
            f"{taken['delivered']:,}",
            str(taken["missing"]),
            str(taken["doubled"]),
        ]
        for name, taken in found["speed"].items()
        if "error" not in taken
    ]
    head = [
        f"{speed.CLIENTS} browsers, {speed.RATE} messages a second",
        "p50, ms",
        "p99, ms",
        "CPU a delivery, us",
        "p50, times ours",
        "CPU, times ours",
        "delivered",
        "lost",
        "doubled",
    ]
    return table(head, lines)


def bursts(found: Found) -> str:
    """Return how many deliveries come through."""
    lines = []
    for name, taken in found["speed"].items():
        if "error" in taken:
            continue
        steady = taken.get("steady")
        lines.append(
            [
                TITLES[name],
                f"{taken['burst_rate'][0]:,.0f}",
                spread(taken["burst_of_ours"]),
                spread(taken["burst_cpu_us"]),
                f"{taken['burst_delivered']:,}",
                f"{taken['burst_missing']:,}",
                f"{taken['burst_doubled']:,}",
                "-" if steady is None else f"{steady['deliveries']:,}",
            ]
        )
    head = [
        f"{speed.CLIENTS} browsers, a burst",
        "deliveries a second",
        "times ours",
        "CPU a delivery, us",
        "delivered",
        "lost",
        "doubled",
        "a second at a steady pace, none lost, doubled or late",
    ]
    return table(head, lines)


def returning(found: Found) -> str:
    """Return how long a crowd waits for what it has missed."""
    lines = [
        [
            TITLES[name],
            f"{taken['seconds'][0]:.2f} s",
            spread(taken["cpu_us"]),
            f"{taken['delivered']:,}",
            str(taken["missing"]),
            str(taken["doubled"]),
        ]
        for name, taken in found["herd"].items()
        if "error" not in taken
    ]
    head = [
        f"{herd.CLIENTS} return, each missed {herd.MISSED}",
        "until all have all",
        "CPU a message, us",
        "delivered",
        "lost",
        "doubled",
    ]
    return table(head, lines)


def channel_layers(found: Found) -> str:
    """Return what channel layers deliver."""
    lines = [
        [
            layers.TITLES[name],
            f"{taken['rate'][0]:,.0f}",
            spread(taken["cpu_us"]),
            f"{taken['delivered']:,}",
            str(taken["missing"]),
            str(taken["doubled"]),
        ]
        for name, taken in found["layers"].items()
        if "error" not in taken
    ]
    head = [
        f"channel layer, {layers.CONSUMERS:,} consumers, burst",
        "deliveries a second",
        "CPU a delivery, us",
        "delivered",
        "lost",
        "doubled",
    ]
    return table(head, lines)


def publishes(found: Found) -> str:
    """Return what it costs to publish."""
    lines = [
        [
            publishing.TITLES[name] + COLOURS[colour],
            number(taken["wall_us"]),
            spread(taken["of_floor"]),
            spread(taken["of_redis_py"]),
            number(taken["cpu_us"]),
            spread(taken["cpu_of_floor"]),
            number(taken.get("server_us")),
        ]
        for colour, row in found["publishing"].items()
        if "error" not in row
        for name, taken in row.items()
    ]
    head = [
        "publish",
        "us",
        "times a bare PUBLISH",
        "times redis-py's",
        "CPU us",
        "CPU, times a bare PUBLISH",
        "server's CPU us",
    ]
    return table(head, lines)


def failures(found: Found) -> str:
    """Return a list of what a contestant could not do."""
    lines = [f"- {TITLES[name]}: {why}" for name, why in found["absent"].items()]
    titles = {"layers": layers.TITLES, "publishing": {"sync": "`publish`"}}
    lines += [
        f"- {titles.get(section, TITLES).get(name, name)}, {section}: {row['error']}"
        for section in ("standing", "speed", "herd", "layers", "publishing")
        for name, row in found[section].items()
        if "error" in row
    ]
    return "\n".join(["What failed:", "", *lines]) if lines else ""
