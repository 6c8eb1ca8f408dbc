"""The servers of a topology, each a link of its own: pool, breaker, connections.

A node is made when its address is first heard of and kept while somebody names it
and for a while after: a primary that was killed often comes back as a replica.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import replace

from redpony.errors import Busy, ClusterDown, Loading, MasterDown, ReadOnly
from redpony.wire.config import LinkConfig, Remap, Tcp, Unix
from redpony.wire.link import Link

UNFIT = (Loading, Busy, MasterDown, ReadOnly, ClusterDown)
"""What a replica says that cannot answer for the moment."""

REST = 1.0
"""Seconds that a replica is left out which cannot answer: loading, or cut off."""

KEPT = 60.0
"""Seconds that a node is kept after it was last named."""


class Node(Link):
    """A server of a topology, and what is known of it besides."""

    def __init__(self, config: LinkConfig, address: Tcp | Unix) -> None:
        super().__init__(replace(config, address=address))
        self.address = address
        self._fit_from = 0.0
        self.is_cut_off = False
        """Whether a look found a replica without its primary; until another one."""
        self.is_given = False
        """Whether LOCATION names it; such a node is never let go of."""
        self.named_at = 0.0

    @property
    def is_fit(self) -> bool:
        """Whether a replica should be asked: its breaker is closed, it does not rest."""
        return not (self.breaker.blocked or self.is_cut_off) and (
            not self._fit_from or time.monotonic() >= self._fit_from
        )

    def rest(self) -> None:
        """Leave a replica out for a while."""
        self._fit_from = time.monotonic() + REST

    def demand(self, role: str) -> None:
        """Say what the server must be: "master", or "" for anything.

        Every connection that is opened from now on is held against it.
        """
        self.facts.demanded = role

    def __repr__(self) -> str:
        return f"<Node {self.address}>"


class Nodes:
    """All nodes of one topology, by address."""

    def __init__(self, config: LinkConfig, remap: Remap | None = None) -> None:
        self.config = config
        self._remap = remap
        self._by_address: dict[Tcp | Unix, Node] = {}
        self._lock = threading.Lock()

    def at(self, host: str, port: int) -> Node:
        """Return the node at an address that a server announced."""
        if self._remap is not None:
            host, port = self._remap(host, port)
        return self.node(Tcp(host, port))

    def node(self, address: Tcp | Unix, config: LinkConfig | None = None) -> Node:
        """Return the node at an address that reaches it."""
        found = self._by_address.get(address)
        if found is None:
            with self._lock:
                found = self._by_address.get(address)
                if found is None:
                    found = Node(config or self.config, address)
                    self._by_address[address] = found
        found.named_at = time.monotonic()
        return found

    def given(self, address: Tcp | Unix, config: LinkConfig | None = None) -> Node:
        """Return the node at an address that LOCATION names."""
        node = self.node(address, config)
        node.is_given = True
        return node

    def all(self) -> list[Node]:
        return list(self._by_address.values())

    def prune(self, named: Iterable[Node]) -> None:
        """Let go of nodes that nobody has named for a while."""
        now = time.monotonic()
        for node in named:
            node.named_at = now
        for address, node in self._by_address.copy().items():
            if now - node.named_at > KEPT and not node.is_given:
                self._by_address.pop(address, None)
                node.close()

    def close(self) -> None:
        for node in self.all():
            node.close()

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
