"""Slots that move from one primary to another under a crowd."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.failover.children import Child
from tests.servers import Cluster

THREADS, TASKS = 8, 200
PACE = 0.02
"""Seconds that each of them rests after an operation: the machine has other work."""
DEADLINE = 0.25
"""Seconds: Redpony's default."""


def measure(flavour: str, slots: int, deadline: float = DEADLINE) -> dict[str, Any]:
    """Move slots under a crowd; return what the crowd has found."""
    crowd = (THREADS, TASKS, PACE, deadline)
    with Cluster(flavour) as group:
        source, target = group.nodes[:2]
        with Child("working", group.url(), *crowd) as child:
            child.await_ready()
            began = time.monotonic()
            moved = group.reshard(slots, source, target)
            took = time.monotonic() - began
            child.tell("over")
            found = child.result()
        return {
            "flavour": flavour,
            "threads": THREADS,
            "tasks": TASKS,
            "deadline": deadline,
            "slots": len(moved),
            "took": took,
            "redirections": redirections(group),
            **found,
        }


def redirections(group: Any) -> dict[str, int]:
    """Return how often the servers have answered MOVED, ASK and TRYAGAIN."""
    found = dict.fromkeys(("MOVED", "ASK", "TRYAGAIN"), 0)
    for node in group.nodes:
        for name, said in node.info("errorstats").items():
            word = name.removeprefix("errorstat_")
            if word in found:
                found[word] += said["count"]
    return found
