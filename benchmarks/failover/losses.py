"""Writes that were acknowledged and are not there after a failover.

Both kinds of writers, with `WAIT` and without, meet the same failovers: a primary
that is killed, and one that is replaced on request. The writers go on all the time;
what is counted was acknowledged at any moment, before, during and after.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.failover.children import Child
from benchmarks.failover.outages import GROUPS

THREADS = 4
"""Of each kind of writer."""

GOES_ON = 0.5
"""Seconds that the writers go on after everybody agrees."""

HOW = ("kill", "request")


def measure(topology: str, flavour: str, how: str, rounds: int) -> dict[str, Any]:
    """Return all rounds of one kind of failover, and their sums."""
    with GROUPS[topology](flavour) as group:
        taken = []
        for _ in range(rounds):
            taken.append(one_round(topology, group, how))
            group.heal()
    return {"flavour": flavour, "rounds": taken, **summary(taken)}


def one_round(topology: str, group: Any, how: str) -> dict[str, Any]:
    """Replace a primary under the writers; return what they have counted."""
    group.settled()
    old = group.nodes[0] if topology == "cluster" else group.primary
    tag = next(
        f"{{{number}}}"
        for number in range(1000)
        if topology != "cluster" or group.node_for(f"{{{number}}}") is old
    )
    with Child("writing", group.url(), tag, THREADS) as child:
        child.await_ready()
        began = time.monotonic()
        replace(topology, group, old, how)
        time.sleep(GOES_ON)
        child.tell("count", began)
        return child.result()


def replace(topology: str, group: Any, old: Any, how: str) -> None:
    """Have another server lead; return when all servers agree on it."""
    if how == "kill":
        old.kill()
        if topology == "cluster":
            (heir,) = group.replicas_of(old)
            while heir.role != "primary":
                time.sleep(0.01)
            group.await_agreement()
        else:
            group.await_primary_other_than(old)
    elif topology == "cluster":
        group.failover(old)
    else:
        group.failover()


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums of all rounds, for each kind of writer."""
    found: dict[str, Any] = {}
    for mode in ("plain", "wait"):
        mine = [each[mode] for each in rounds]
        found[mode] = {
            name: sum(each[name] for each in mine)
            for name in ("acknowledged", "second_before", "doubtful", "failed", "lost")
        }
        found[mode]["rounds_with_a_loss"] = sum(each["lost"] > 0 for each in mine)
        found[mode]["most_in_a_round"] = max(each["lost"] for each in mine)
        found[mode]["silence"] = max(each["silence"] for each in mine)
    return found
