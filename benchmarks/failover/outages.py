"""How long an application is without a primary, and how long the servers are.

In each round one primary is killed under all applications at once. The servers'
own time ends when a client that knows everything at once could write: by Sentinel,
when the first sentinel names another primary and that takes a write; in a cluster,
when the replica that was promoted takes one.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import Any

from benchmarks.failover.applications import APPLICATIONS
from benchmarks.failover.children import Child
from benchmarks.failover.moments import Logs
from tests.faults.failovers import OwnTime
from tests.servers import Cluster, Sentinel

GROUPS: dict[str, Any] = {"sentinel": Sentinel, "cluster": Cluster}


def measure(topology: str, flavour: str, rounds: int) -> dict[str, Any]:
    """Return all rounds of one kind of place, and what they come to."""
    with GROUPS[topology](flavour) as group:
        taken = []
        for _ in range(rounds):
            taken.append(one_round(topology, group))
            group.heal()
    return {"flavour": flavour, "rounds": taken, **summary(taken)}


def one_round(topology: str, group: Any) -> dict[str, Any]:
    """Kill a primary under everybody; return what each of them met."""
    group.settled()
    old = group.nodes[0] if topology == "cluster" else group.primary
    # A tag whose keys the node has that will be killed.
    tag = next(
        f"{{{number}}}"
        for number in range(1000)
        if topology != "cluster" or group.node_for(f"{{{number}}}") is old
    )
    with contextlib.ExitStack() as stack:
        children = {
            name: stack.enter_context(
                Child("polling", name, group.url(), f"{tag}{number}")
            )
            for number, name in enumerate(APPLICATIONS)
        }
        own = stack.enter_context(OwnTime(group, old, f"{tag}own"))
        for child in children.values():
            child.await_ready()
        logs, wall = Logs(group), time.time()
        own.begin(old.kill)
        for child in children.values():
            child.tell("since", own.began)
        found: dict[str, Any] = {"servers": own.seconds, "led": own.seconds_to_lead}
        for name, child in children.items():
            found[name] = child.result()
        if topology != "cluster":
            group.await_primary_other_than(old)
        found["moments"] = logs.moments(topology, wall)
    return found


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians, smallest and largest: of seconds, and of times the servers'."""
    servers = [each["servers"] for each in rounds]
    applications = {}
    for name in APPLICATIONS:
        outages = [each[name]["outage"] for each in rounds]
        ratios = [a / b for a, b in zip(outages, servers, strict=True)]
        applications[name] = {
            "outage": spread(outages),
            "ratio": spread(ratios),
            "errors": sum(sum(each[name]["errors"].values()) for each in rounds),
            "slowest": max(each[name]["slowest"] for each in rounds),
        }
    return {
        "servers": spread(servers),
        "moments": moments(rounds),
        "led": spread([each["led"] for each in rounds]),
        "applications": applications,
    }


def moments(rounds: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return when each thing happened, for what happened in each round."""
    return {
        name: spread([each["moments"][name] for each in rounds])
        for name in rounds[0]["moments"]
        if all(name in each["moments"] for each in rounds)
    }


def spread(values: list[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)]
