"""A primary and its replicas, named one by one: who is what, by their own word.

`ROLE` says it, and how a replica stands to its primary; where a user may not ask
that, `HELLO` says the first. The servers that are named are all there are: with no
sentinel and no cluster, promotion is somebody's own work, and noticing it is ours.
"""

from __future__ import annotations

from typing import Any

from redpony.commands import HELLO, ROLE
from redpony.errors import RedponyError, Unavailable
from redpony.wire.config import LinkConfig, Replicated, Tcp, Unix
from redpony.wire.stream import settle
from redpony.wire.topology.asking import ask_all, fields, text
from redpony.wire.topology.nodes import Node, Nodes
from redpony.wire.topology.shape import Shape, Shard


class ReplicatedView:
    """Finds out which of the named servers is the primary."""

    restless = False
    epoch = 0

    def __init__(self, topology: Replicated, config: LinkConfig) -> None:
        self.nodes = Nodes(config, topology.remap)
        self._named = [
            self.nodes.given(_address(each), each) for each in topology.nodes
        ]

    def first(self) -> Shape | None:
        """Return what is taken for true before anybody was asked."""
        return Shape([Shard(self._named[0], self._named[1:])])

    def look(self, before: Shape | None) -> Shape:
        """Return the shape by what the servers say; raise if none of them answers."""
        answers = ask_all(self._named, (ROLE(), HELLO()))
        primaries: list[Node] = []
        replicas: list[Node] = []
        silent: list[Node] = []
        failure: RedponyError | None = None
        for node, (role, hello) in answers:
            assert isinstance(node, Node)
            said = _role(role, hello)
            if said is None:
                failure = hello if isinstance(hello, RedponyError) else None
                silent.append(node)
            elif said == "primary":
                primaries.append(node)
            else:
                node.is_cut_off = said == "cut off"
                replicas.append(node)
        if not primaries and not replicas:
            raise failure or Unavailable("No server of LOCATION answers")
        led = before.shards[0].primary if before else self._named[0]
        # Of two that call themselves primary, the one that is in use stays; while
        # there is none, nobody is made one.
        primary = led if led in primaries or not primaries else primaries[0]
        others = [
            node
            for node in self._named
            if node is not primary and (node in replicas or node in silent)
        ]
        return Shape([Shard(primary, others)])

    def ear(self) -> Any:
        return None

    def hear(self) -> bool:
        return False

    def deafen(self) -> None:
        pass

    def close(self) -> None:
        self.nodes.close()

    def reset_after_fork(self) -> None:
        self.nodes.reset_after_fork()


def _address(config: LinkConfig) -> Tcp | Unix:
    return settle(config)


def _role(role: Any, hello: Any) -> str | None:
    """Return "primary", "replica", "cut off" (a replica that lost its primary), or None."""
    if isinstance(role, list) and role:
        if text(role[0]) == "master":
            return "primary"
        return "replica" if text(role[3]) == "connected" else "cut off"
    said = fields(hello).get("role")
    if said is None:
        return None
    return "primary" if said in ("master", "primary") else "replica"
