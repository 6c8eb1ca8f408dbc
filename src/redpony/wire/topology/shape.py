"""What a topology looks like now: which server is for what.

A `Shape` is replaced, never changed, except that a cluster's table takes the slots
that a MOVED names: whoever holds an old shape holds a consistent one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from redpony.wire.topology.nodes import Node


class Shard:
    """A primary and its replicas: one server's worth of data."""

    __slots__ = ("_turn", "primary", "replicas")

    def __init__(self, primary: Node, replicas: Sequence[Node] = ()) -> None:
        self.primary = primary
        self.replicas = tuple(replicas)
        self._turn = count()

    def reader(self, avoid: Sequence[Node] = ()) -> Node:
        """Return a fit replica, each in its turn; the primary where there is none.

        While the primary fails, its replicas are cut off, and still the best there is.
        """
        replicas = self.replicas
        size = len(replicas)
        if size:
            start = next(self._turn)
            for step in range(size):
                node = replicas[(start + step) % size]
                if node not in avoid and node.is_fit:
                    return node
            if self.primary.breaker.failures:
                for node in replicas:
                    if node not in avoid and not node.breaker.blocked:
                        return node
        return self.primary

    def __repr__(self) -> str:
        return f"<Shard of {self.primary} and {list(self.replicas)}>"


class Shape:
    """The shards, and for a cluster the shard of each slot (None: of nobody)."""

    __slots__ = ("patched", "shards", "table")

    def __init__(
        self, shards: Sequence[Shard], table: list[Shard | None] | None = None
    ) -> None:
        self.shards = tuple(shards)
        self.table = table
        self.patched = False
        """Whether a MOVED has changed the table since it was looked at."""

    @property
    def primaries(self) -> tuple[Node, ...]:
        return tuple(shard.primary for shard in self.shards)

    @property
    def replicas(self) -> tuple[Node, ...]:
        return tuple(node for shard in self.shards for node in shard.replicas)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.primaries + self.replicas

    def led_by(self, node: Node) -> Shard | None:
        """Return the shard whose primary a node is."""
        for shard in self.shards:
            if shard.primary is node:
                return shard
        return None

    def same_as(self, other: Shape | None) -> bool:
        """Whether both say the same of every server and slot."""
        if other is None or _outline(self) != _outline(other):
            return False
        return self.owns_as(other)

    def owns_as(self, other: Shape) -> bool:
        """Whether both have the same primaries, each with the same slots."""
        if set(self.primaries) != set(other.primaries):
            return False
        if self.table is None or other.table is None:
            return self.table is other.table
        return all(
            (one and one.primary) is (two and two.primary)
            for one, two in zip(self.table, other.table, strict=True)
        )


def _outline(shape: Shape) -> dict[Node, frozenset[Node]]:
    return {shard.primary: frozenset(shard.replicas) for shard in shape.shards}
