"""A link to a topology as its tests use it: one body for both colours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

from redpony.commands import Command
from redpony.wire.config import LinkConfig, Topology
from redpony.wire.topology.link import TopologyLink
from tests.colours import Colour
from tests.wire.links import Wire, until


class Topo(Wire):
    """A link to several servers, and the colour in which it is asked."""

    link: Any

    @classmethod
    def to(cls, colour: Colour, config: LinkConfig, topology: Topology) -> Self:  # type: ignore[override]
        return cls(TopologyLink(config, topology), colour)  # type: ignore[arg-type]

    @property
    def ports(self) -> dict[str, list[int]]:
        """Who is what, by the ports."""
        shape = self.link.shape
        return {
            "primaries": [node.address.port for node in shape.primaries],
            "replicas": sorted(node.address.port for node in shape.replicas),
        }

    @property
    def connections(self) -> list[Any]:
        """Return the connections to data servers that exist, whatever their colour."""
        return [
            each
            for node in self.link.nodes()
            for places in (
                node.blocking.pool._alive,
                node.awaiting.loops.places._alive,
            )
            for place in list(places)
            if (each := place()) is not None
        ]

    def look(self) -> Any:
        """Have the topology looked at; return what that met."""
        return self.link.look(10)

    def until_answered(self, command: Command) -> Any:
        """Ask until there is an answer, and return it."""
        answers: list[Any] = []

        def answered() -> bool:
            reply = self.meet(command)
            answers.append(reply)
            return not isinstance(reply, Exception)

        until(answered, 30)
        return answers[-1]

    def close(self) -> None:
        self.link.close()
        if self.colour.is_async:
            self.colour.run(self._close_connections())

    async def _close_connections(self) -> None:
        for node in self.link.nodes():
            for state in list(node.awaiting.loops.by_loop.values()):
                state.close()


def other_primary(cluster: Any, key: bytes) -> Any:
    """Return a primary that has not got a key's slot."""
    owner = cluster.node_for(key)
    return next(node for node in cluster.primaries if node is not owner)


@contextlib.contextmanager
def moved_slot(cluster: Any, key: bytes) -> Iterator[Any]:
    """Give a key's slot to another primary, until the block ends; yield that one."""
    source, target = cluster.node_for(key), other_primary(cluster, key)
    cluster.move_slot(cluster.slot_of(key), target)
    try:
        yield target
    finally:
        cluster.move_slot(cluster.slot_of(key), source)


def in_threads(count: int, act: Callable[[int], object]) -> None:
    """Run something in several threads at once; raise what the first one raised."""
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            act(number)
        except BaseException as error:
            failed.append(error)

    crowd = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    if failed:
        raise failed[0]
