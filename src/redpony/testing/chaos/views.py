"""What one node of a cluster says of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import redis

from redpony.testing.chaos.clients import flight


@dataclass(frozen=True, slots=True)
class Known:
    """A node as another one knows it."""

    id: str
    flags: frozenset[str]
    primary: str | None
    epoch: int
    slots: tuple[tuple[int, int], ...]

    def owns(self, slot: int) -> bool:
        """Return whether the node is said to be in charge of a slot."""
        return any(start <= slot <= end for start, end in self.slots)


@dataclass(frozen=True, slots=True)
class View:
    """All that one node says in CLUSTER NODES and CLUSTER INFO."""

    myself: Known
    known: Mapping[str, Known]
    state: str
    is_open: bool
    """Whether a slot is on its way."""

    @classmethod
    def of(cls, client: redis.Redis) -> Self:
        """Ask a node, by a client of it."""
        # redis-py's dicts do not have what is open.
        said = flight(client, ("CLUSTER", "NODES"), ("CLUSTER", "INFO"))
        nodes, info = (each.decode() for each in said)
        known: dict[str, Known] = {}
        myself: Known | None = None
        for line in nodes.splitlines():
            each = _known(line)
            known[each.id] = each
            if "myself" in each.flags:
                myself = each
        assert myself is not None
        state = next(
            line.partition(":")[2]
            for line in info.splitlines()
            if line.startswith("cluster_state:")
        )
        return cls(myself, known, state, "->-" in nodes or "-<-" in nodes)

    @property
    def shape(self) -> frozenset[Any]:
        """Who follows whom, who is in charge of what, and who is taken for gone."""
        return frozenset(
            (each.id, each.primary, each.slots, each.flags & {"fail", "fail?"})
            for each in self.known.values()
        )


def owner_of(slot: int, views: Mapping[str, View]) -> str | None:
    """Return who is in charge of a slot, by the latest claim that any node knows."""
    claims = [
        (each.epoch, each.id == view.myself.id, each.id)
        for view in views.values()
        for each in view.known.values()
        if each.owns(slot)
    ]
    return max(claims)[2] if claims else None


def _known(line: str) -> Known:
    id, _address, flags, primary, _ping, _pong, epoch, _link, *slots = line.split()
    ranges: list[tuple[int, int]] = []
    for each in slots:
        if each.startswith("["):
            continue
        start, _, end = each.partition("-")
        ranges.append((int(start), int(end or start)))
    return Known(
        id,
        frozenset(flags.split(",")),
        None if primary == "-" else primary,
        int(epoch),
        tuple(ranges),
    )
