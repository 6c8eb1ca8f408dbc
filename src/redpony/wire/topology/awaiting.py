"""The asyncio driver of a topology: as `blocking`, for tasks.

All flights of a step are on their way before the first is awaited, without a task
for each. A task that is cancelled leaves answers behind, which are read and dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redpony.commands import Access, Argument, Command, Kind
from redpony.errors import Moved, NoScript, RedponyError, Unavailable
from redpony.plan import Batch, Replies, Wait
from redpony.wire.driving import AsyncDrive
from redpony.wire.topology import quick
from redpony.wire.topology.routing import HOPS, Flight, Look, Route, late, route

if TYPE_CHECKING:
    from redpony.wire.topology.link import TopologyLink
    from redpony.wire.topology.nodes import Node

monotonic = time.monotonic
_WRITE = Access.WRITE

Ask = tuple["Node", Batch, float, bytes | None]
"""A server, what it is asked, how long that lasts, and the same packed."""


class RoutedAsyncDriver(AsyncDrive):
    """Runs plans on a topology, from any number of event loops."""

    def __init__(self, link: TopologyLink) -> None:
        self._link = link
        self._deadline = link.config.deadline
        self._patience = link.config.connect_timeout
        self._reads_replicas = link.reads_replicas

    def read(self, kind: Kind, key: Argument) -> asyncio.Future[Any] | None:
        """Send a read at once; None where something else has to be done first."""
        shape = self._link.known
        if shape is None or self._reads_replicas:
            return None
        node = quick.node_for(shape, Command(kind, (key,)), reads_replicas=False)
        return None if node is None else node.awaiting.read(kind, key)

    async def ask(self, command: Command) -> Any:
        """Return the reply to one command, or raise."""
        link = self._link
        shape = link.known
        expires = monotonic() + (command.timeout or self._deadline)
        if shape is not None:
            node = quick.node_for(shape, command, self._reads_replicas)
            if node is not None:
                try:
                    reply = await node.awaiting.ask(command)
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
        items = await self._travel([command], expires)
        if isinstance(items[0], RedponyError):
            raise items[0]
        return items[0]

    async def ask_all(self, batch: Batch, lasts: float | None = None) -> Replies:
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
                return Replies(await self._travel(commands, expires, **how))
            # One server has it all: its own driver, and the route for the rest.
            replies = await shape.shards[0].primary.awaiting.ask_all(batch, lasts)
            refused = quick.refused(self._link, commands, replies.items)
            if refused and monotonic() < expires:
                again = [commands[index] for index in refused]
                items = await self._travel(again, expires, **how)
                for index, item in zip(refused, items, strict=True):
                    replies.items[index] = item
        except Unavailable as error:
            return Replies([error] * len(commands))
        return replies

    async def wait(self, effect: Wait) -> Any:
        """Return the reply to a blocking command; None where its time ran out."""
        link = self._link
        hops = 0
        while True:
            shape = await link.afind(self._patience)
            node = quick.primary_for(shape, effect.before or effect.command)
            hops += 1
            try:
                reply = await node.awaiting.wait(effect)
            except RedponyError as error:
                link.learn(error)
                if type(error) is not Moved or hops >= HOPS:
                    raise
            else:
                link.wrote()
                return reply

    async def _travel(
        self,
        commands: Sequence[Command],
        expires: float,
        *,
        together: bool = False,
        atomic: bool = False,
    ) -> list[Any]:
        link = self._link
        if link.known is None:
            await link.afind(max(expires - monotonic(), self._patience))
            expires = max(expires, monotonic() + self._deadline)
        writes = any(each.kind.access is _WRITE for each in commands)
        fresh = writes or link.reads_fresh
        if not (together or atomic) and len(commands) == 1:
            many = quick.many(link, commands[0], fresh=fresh)
            if many is not None:
                return [await self._quick_many(many, expires)]
        journey = route(link, commands, together=together, atomic=atomic, fresh=fresh)
        items = await self._follow(journey, expires)
        if writes:
            link.wrote()
        return items

    async def _follow(self, journey: Route, expires: float) -> list[Any]:
        spared = False
        try:
            step = next(journey)
            while True:
                answer: Any = None
                if isinstance(step, list):
                    answer = await self._fly(step, expires)
                    if not spared and any(flight.spare for flight in step):
                        spared = True
                        expires = self._after_replicas(expires)
                elif isinstance(step, Look):
                    await self._link.alook(min(expires - monotonic(), self._patience))
                else:
                    left = expires - monotonic()
                    await asyncio.sleep(max(0.0, min(step.seconds, left)))
                step = journey.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _after_replicas(self, expires: float) -> float:
        """Return until when others may answer what replicas were asked.

        To find that there is no connecting to one takes CONNECT_TIMEOUT.
        """
        return max(expires, monotonic() + self._deadline / 2)

    async def _fly(self, flights: list[Flight], expires: float) -> list[Replies]:
        left = expires - monotonic()
        if left <= 0:
            return [late(self._link.label, flight) for flight in flights]
        asks: list[Ask] = [
            (
                flight.node,
                Batch(flight.commands, atomic=flight.atomic),
                left / 2 if flight.spare else left,
                None,
            )
            for flight in flights
        ]
        if len(asks) == 1:
            node, batch, lasts, _ = asks[0]
            return [await node.awaiting.ask_all(batch, lasts)]
        return await _ask_each(asks)

    async def _quick_many(self, many: quick.Many, expires: float) -> Any:
        left = max(expires - monotonic(), 0.001)
        asks: list[Ask] = [
            (
                part.node,
                part.batch,
                left / 2 if part.spare else left,
                part.pack(),
            )
            for part in many.parts
        ]
        for part, replies in zip(many.parts, await _ask_each(asks), strict=True):
            many.put(part, replies.items)
        if many.failed:
            if any(part.spare for part in many.parts):
                expires = self._after_replicas(expires)
            journey = route(self._link, many.again())
            many.mend(await self._follow(journey, expires))
        return many.result()


async def _ask_each(asks: list[Ask]) -> list[Replies]:
    """Ask several servers at once, and return what each answered."""
    started = monotonic()
    under_way: list[tuple[asyncio.Future[Any], bool]] = []
    answers: list[Replies] = []
    try:
        for ask in asks:
            node, batch, lasts, payload = ask
            sent = node.awaiting.launch(batch, lasts, payload)
            if sent is not None:
                under_way.append((sent, True))
            else:
                under_way.append((asyncio.ensure_future(_ask_slowly(ask)), False))
        for (future, at_once), ask in zip(under_way, asks, strict=True):
            answers.append(await (_landed(future, ask, started) if at_once else future))
    except BaseException:
        for future, _ in under_way[len(answers) :]:
            _drop(future)
        raise
    return answers


def _drop(future: asyncio.Future[Any]) -> None:
    """Let go of an answer that nobody waits for any more, error or not."""
    # An error that has come is marked as seen by this.
    future.cancel()
    if not future.done():
        future.add_done_callback(_looked_at)


def _looked_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


async def _landed(future: asyncio.Future[Any], ask: Ask, started: float) -> Replies:
    node, batch, lasts, _ = ask
    try:
        reply = await future
    except Unavailable as error:
        if not node.awaiting.may_repeat(batch, error):
            return Replies([error] * len(batch.commands))
        left = max(started + lasts - monotonic(), 0.001)
        return await _ask_slowly((node, batch, left, ask[3]))
    node.awaiting.answered()
    items = [reply] if len(batch.commands) == 1 else reply
    if ask[3] is None and any(type(item) is NoScript for item in items):
        for index, item in enumerate(items):
            command = batch.commands[index]
            if type(item) is NoScript and command.script is not None:
                try:
                    items[index] = await node.awaiting.ask(command)
                except RedponyError as error:
                    items[index] = error
    return Replies(items)


async def _ask_slowly(ask: Ask) -> Replies:
    node, batch, lasts, payload = ask
    return await node.awaiting.ask_all(batch, lasts, payload)
