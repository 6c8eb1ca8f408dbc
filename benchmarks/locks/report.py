"""The lock rows as tables of Markdown: printed, and filled into the docs.

A page holds them between `<!-- bench-locks:start -->` and `...:end -->`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.locks import crowd, handover
from benchmarks.locks.contestants import TITLES
from benchmarks.locks.uncontended import FORMS
from benchmarks.tables import number, spread, table

REGION = "bench-locks"

Found = dict[str, Any]

COLOURS = {"sync": "", "async": ", asyncio"}


def everything(found: Found) -> str:
    """Return all tables and what failed."""
    parts = (machine, uncontended, contended, waiting, giving_up, failures)
    return "\n\n".join(filter(None, (part(found) for part in parts)))


def machine(found: Found) -> str:
    """Return one sentence: when and with what this was measured."""
    meta = found["meta"]
    versions = ", ".join(
        f"{title(name)} {version}"
        for name, version in meta["versions"].items()
        if "," not in name
    )
    return (
        f"Locks, measured {meta['date']}, {meta['server']}, loopback TCP; a bare "
        f"socket's PING takes {meta['round_trip_us']:.0f} us; {versions}."
    )


def uncontended(found: Found) -> str:
    """Return what a lock costs that nobody else wants."""
    lines = []
    for colour, forms in found["uncontended"].items():
        for form in FORMS:
            for name, taken in forms.get(form, {}).items():
                if "error" in taken:
                    continue
                lines.append(
                    [
                        title(name) + COLOURS[colour],
                        FORMS[form],
                        number(taken.get("wall_us")),
                        spread(taken.get("of_floor")),
                        spread(taken.get("of_redis_py_floor")),
                        spread(taken.get("of_redis_py")),
                        number(taken.get("cpu_us")),
                        spread(taken.get("cpu_of_redis_py")),
                        number(taken.get("round_trips")),
                        number(taken.get("server_us")),
                    ]
                )
    head = [
        "nobody else wants it",
        "",
        "us",
        "times SET + GET of the same client",
        "of redis-py",
        "times redis-py's lock",
        "CPU us",
        "CPU, times redis-py's lock",
        "round trips",
        "server's CPU us",
    ]
    return table(head, lines)


def contended(found: Found) -> str:
    """Return how a lock goes from hand to hand."""
    lines = []
    for place, row in found["handover"].items():
        for name, taken in row.items():
            if "error" in taken:
                lines.append([place, title(name), taken["error"], *[""] * 9])
                continue
            middle = {key: value[0] for key, value in taken.items() if value}
            lines.append(
                [
                    place,
                    title(name),
                    f"{middle['median_ms']:.2f}",
                    f"{middle['p90_ms']:.2f}",
                    f"{middle['p99_ms']:.2f}",
                    f"{middle['of_round_trip']:.1f}",
                    spread(taken["times_ours"]),
                    f"{middle['same_again']:.0%}",
                    f"{middle['longest_wait_s']:.2f} s",
                    f"{middle['jain']:.3f}",
                    f"{middle['round_trips']:.2f}",
                    f"{middle['cpu_us']:.0f}",
                ]
            )
    head = [
        f"held for {1000 * handover.HOLD:g} ms",
        "",
        "hand-over, ms",
        "p90",
        "p99",
        "in bare round trips",
        "times ours",
        "to the same one",
        "longest wait",
        "Jain",
        "round trips",
        "CPU us",
    ]
    return table(head, lines)


def waiting(found: Found) -> str:
    """Return what tasks cost that wait, and how fast they are served."""
    lines = []
    for name, taken in found["crowd"].items():
        if "error" in taken:
            lines.append([title(name), taken["error"], "", "", ""])
            continue
        lines.append(
            [
                title(name),
                f"{taken['requests_per_second'][0]:,.1f}",
                f"{taken['cpu_share'][0]:.1%}",
                f"{taken['drain_s'][0]:.2f} s",
                spread(taken["of_ideal"]),
            ]
        )
    head = [
        f"{crowd.TASKS} tasks wait",
        "requests a second",
        "CPU",
        f"each has it for {1000 * crowd.HOLD:g} ms",
        "times ideal",
    ]
    return table(head, lines)


def giving_up(found: Found) -> str:
    """Return by how much everybody was late who did not get it in time."""
    names = dict.fromkeys(name for row in found["patience"].values() for name in row)
    lines = [
        [title(name), *(_late(row.get(name)) for row in found["patience"].values())]
        for name in names
    ]
    head = [
        "gives up, by so much late",
        *(f"after {seconds} s" for seconds in found["patience"]),
    ]
    return table(head, lines)


def _late(taken: Found | None) -> str:
    if taken is None:
        return "-"
    late = taken["late_ms"]
    words = "" if late is None else _milliseconds(late[0])
    if taken["still_held"]:
        words = f"more than {words}"
    return ", ".join(filter(None, [words, taken["error"]]))


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def failures(found: Found) -> str:
    """Return a list of what a contestant could not do."""
    lines = [f"- {title(name)}: {why}" for name, why in found["absent"].items()]
    for colour, forms in found["uncontended"].items():
        if "error" in forms:
            lines.append(f"- uncontended{COLOURS[colour]}: {forms['error']}")
            continue
        lines += [
            f"- {title(name)}{COLOURS[colour]}, {FORMS[form]}: {taken['error']}"
            for form, row in forms.items()
            for name, taken in row.items()
            if "error" in taken
        ]
    return "\n".join(["What failed:", "", *lines]) if lines else ""


def title(name: str) -> str:
    """Return what a contestant is called."""
    name, asyncio, _ = name.partition(", asyncio")
    return TITLES.get(name, name.replace("ours", "Redpony")) + asyncio
