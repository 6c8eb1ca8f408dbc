"""A topology that is made up, for the router's tests: no server, no clock.

`Chart` is what the router asks, and tells what it has learnt. `Journey` runs a route
as the drivers do, answers its flights by a function, and writes everything down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redpony.commands import ASKING, Command
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.topology.nodes import Node
from redpony.wire.topology.routing import Flight, Look, Pause, route
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.slots import SLOTS

Answer = Callable[[Flight], Sequence[Any]]

MANY = 200
"""More steps than any route may take."""


class Chart:
    """A shape, and what a router has said of it."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.moves = 0
        self.nudges = 0
        self.known = {node.address: node for node in shape.nodes}

    def nudge(self) -> None:
        self.nudges += 1

    def at(self, host: str, port: int) -> Node:
        address = Tcp(host, port)
        return self.known.setdefault(address, Node(LinkConfig(address), address))

    def moved(self, slot: int, host: str, port: int) -> Node:
        node = self.at(host, port)
        if self.shape.table is not None:
            self.shape.table[slot] = self.shape.led_by(node) or Shard(node)
            self.moves += 1
        return node


def node(port: int) -> Node:
    address = Tcp("node", port)
    return Node(LinkConfig(address), address)


def replicated(replicas: int = 2) -> Chart:
    """Return a primary at port 1, and replicas from port 11 on."""
    return Chart(Shape([Shard(node(1), [node(11 + each) for each in range(replicas)])]))


def cluster(primaries: int = 3, replicas: int = 0) -> Chart:
    """Return primaries at ports 1, 2 ..., with replicas at 11, 12 ..., 21, 22 ..."""
    shards = [
        Shard(
            node(number),
            [node(10 * number + each) for each in range(1, replicas + 1)],
        )
        for number in range(1, primaries + 1)
    ]
    table: list[Shard | None] = [
        shards[slot * primaries // SLOTS] for slot in range(SLOTS)
    ]
    return Chart(Shape(shards, table))


def port_of(target: Node) -> int:
    assert isinstance(target.address, Tcp)
    return target.address.port


class Journey:
    """A route that has been gone: its items, and all that happened on the way."""

    def __init__(
        self,
        chart: Chart,
        commands: Sequence[Command],
        answer: Answer,
        look: Callable[[], object] = lambda: None,
        **how: Any,
    ) -> None:
        self.steps: list[Any] = []
        self.sendings: list[tuple[Command, Node, Any]] = []
        """Each command that was sent, to whom, and what came back; without ASKING."""
        travel = route(chart, commands, **how)
        try:
            step = next(travel)
            while True:
                assert len(self.steps) < MANY
                self.steps.append(step)
                told: Any = None
                if isinstance(step, list):
                    told = [self._fly(flight, answer) for flight in step]
                elif isinstance(step, Look):
                    look()
                step = travel.send(told)
        except StopIteration as done:
            self.items: list[Any] = done.value

    def _fly(self, flight: Flight, answer: Answer) -> list[Any]:
        items = list(answer(flight))
        assert len(items) == len(flight.commands)
        self.sendings += [
            (command, flight.node, item)
            for command, item in zip(flight.commands, items, strict=True)
            if command.kind is not ASKING
        ]
        return items

    @property
    def rounds(self) -> list[list[Flight]]:
        """The flights, a list for each time that some left."""
        return [step for step in self.steps if isinstance(step, list)]

    @property
    def looks(self) -> int:
        return sum(isinstance(step, Look) for step in self.steps)

    @property
    def pauses(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Pause)]

    @property
    def trace(self) -> list[list[tuple[int, list[str]]]]:
        """For each round, where flights went and the names of what was on board."""
        return [
            [
                (port_of(flight.node), [each.name for each in flight.commands])
                for flight in flights
            ]
            for flights in self.rounds
        ]


def scripted(*replies: Any) -> Answer:
    """Return a function that answers one command after the other from a list."""
    left = list(replies)

    def answer(flight: Flight) -> list[Any]:
        return [left.pop(0) for _ in flight.commands]

    return answer
