"""The blocking driver of a topology: one server's driver for each, and the routes.

Nearly every call is one command for one server, whose own driver performs it. What
it refuses or loses, batches, and commands whose keys lie on several servers take
the route of `routing`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from redpony.commands import Access, Command
from redpony.errors import Moved, RedponyError, Unavailable
from redpony.plan import Batch, Replies, Wait
from redpony.wire.driving import BlockingDrive
from redpony.wire.parallel import ask_each
from redpony.wire.topology import quick
from redpony.wire.topology.routing import HOPS, Flight, Look, Route, late, route

if TYPE_CHECKING:
    from redpony.wire.topology.link import TopologyLink

monotonic = time.monotonic
_WRITE = Access.WRITE


class RoutedDriver(BlockingDrive):
    """Runs plans on a topology, blocking the calling thread."""

    def __init__(self, link: TopologyLink) -> None:
        self._link = link
        self._deadline = link.config.deadline
        self._patience = link.config.connect_timeout
        self._reads_replicas = link.reads_replicas

    def ask(self, command: Command) -> Any:
        """Return the reply to one command, or raise."""
        link = self._link
        shape = link.known
        expires = monotonic() + (command.timeout or self._deadline)
        if shape is not None:
            node = quick.node_for(shape, command, self._reads_replicas)
            if node is not None:
                try:
                    reply = node.blocking.ask(command)
                except RedponyError as error:
                    link.learn(error)
                    if not quick.may_go_on(command, error):
                        raise
                    if isinstance(error, Unavailable) and monotonic() >= expires:
                        raise
                else:
                    if self._reads_replicas and command.kind.access is _WRITE:
                        link.wrote()
                    return reply
        items = self._travel([command], expires)
        if isinstance(items[0], RedponyError):
            raise items[0]
        return items[0]

    def ask_all(self, batch: Batch, lasts: float | None = None) -> Replies:
        """Return the replies of a batch; never raise what they met.

        One flight to each server that is concerned; all leave before any answer is
        awaited.
        """
        commands = batch.commands
        if not commands:
            return Replies([])
        lasts = lasts or commands[0].timeout or self._deadline
        expires = monotonic() + lasts
        how = {"together": batch.same_connection, "atomic": batch.atomic}
        try:
            shape = self._link.known
            if shape is None or shape.table is not None or self._reads_replicas:
                return Replies(self._travel(commands, expires, **how))
            # One server has it all: its own driver, and the route for the rest.
            replies = shape.shards[0].primary.blocking.ask_all(batch, lasts)
            refused = quick.refused(self._link, commands, replies.items)
            if refused and monotonic() < expires:
                again = [commands[index] for index in refused]
                items = self._travel(again, expires, **how)
                for index, item in zip(refused, items, strict=True):
                    replies.items[index] = item
        except Unavailable as error:
            return Replies([error] * len(commands))
        return replies

    def wait(self, effect: Wait) -> Any:
        """Return the reply to a blocking command; None where its time ran out."""
        link = self._link
        hops = 0
        while True:
            shape = link.find(monotonic() + self._patience)
            node = quick.primary_for(shape, effect.before or effect.command)
            hops += 1
            try:
                reply = node.blocking.wait(effect)
            except RedponyError as error:
                link.learn(error)
                if type(error) is not Moved or hops >= HOPS:
                    raise
            else:
                link.wrote()
                return reply

    def _travel(
        self,
        commands: Any,
        expires: float,
        *,
        together: bool = False,
        atomic: bool = False,
    ) -> list[Any]:
        link = self._link
        if link.known is None:
            link.find(max(expires, monotonic() + self._patience))
            expires = max(expires, monotonic() + self._deadline)
        writes = any(each.kind.access is _WRITE for each in commands)
        fresh = writes or link.reads_fresh
        if not (together or atomic) and len(commands) == 1:
            many = quick.many(link, commands[0], fresh=fresh)
            if many is not None:
                return [self._quick_many(many, expires)]
        journey = route(link, commands, together=together, atomic=atomic, fresh=fresh)
        items = self._follow(journey, expires)
        if writes:
            link.wrote()
        return items

    def _follow(self, journey: Route, expires: float) -> list[Any]:
        spared = False
        try:
            step = next(journey)
            while True:
                answer: Any = None
                if isinstance(step, list):
                    answer = self._fly(step, expires)
                    if not spared and any(flight.spare for flight in step):
                        spared = True
                        expires = self._after_replicas(expires)
                elif isinstance(step, Look):
                    self._link.look(min(expires - monotonic(), self._patience))
                else:
                    time.sleep(max(0.0, min(step.seconds, expires - monotonic())))
                step = journey.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _after_replicas(self, expires: float) -> float:
        """Return until when others may answer what replicas were asked.

        To find that there is no connecting to one takes CONNECT_TIMEOUT.
        """
        return max(expires, monotonic() + self._deadline / 2)

    def _fly(self, flights: list[Flight], expires: float) -> list[Replies]:
        left = expires - monotonic()
        if left <= 0:
            return [late(self._link.label, flight) for flight in flights]
        if len(flights) == 1:
            flight = flights[0]
            batch = Batch(flight.commands, atomic=flight.atomic)
            part = left / 2 if flight.spare else left
            return [flight.node.blocking.ask_all(batch, part)]
        return ask_each(
            (
                flight.node.blocking,
                Batch(flight.commands, atomic=flight.atomic),
                expires - left / 2 if flight.spare else expires,
                None,
            )
            for flight in flights
        )

    def _quick_many(self, many: quick.Many, expires: float) -> Any:
        now = monotonic()
        sooner = now + (expires - now) / 2
        answers = ask_each(
            (
                part.node.blocking,
                part.batch,
                sooner if part.spare else expires,
                part.pack(),
            )
            for part in many.parts
        )
        for part, replies in zip(many.parts, answers, strict=True):
            many.put(part, replies.items)
        if many.failed:
            if any(part.spare for part in many.parts):
                expires = self._after_replicas(expires)
            self._mend(many, expires)
        return many.result()

    def _mend(self, many: quick.Many, expires: float) -> None:
        """Send what was refused or lost on its route."""
        commands = many.again()
        journey = route(self._link, commands)
        many.mend(self._follow(journey, expires))
