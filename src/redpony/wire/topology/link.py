"""A link to a topology: several servers, one configuration, both drivers.

It has what a link to one server has, so that nothing above knows the difference,
and holds what both drivers share: the shape as it was last seen, the watcher that
renews it, and for how long this thread or task reads its own writes.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from redpony import events
from redpony.errors import Moved, PoolExhausted, RedponyError, Unavailable
from redpony.plan import Plan
from redpony.wire.config import (
    Cluster,
    LinkConfig,
    Replicated,
    Sentinels,
    Topology,
)
from redpony.wire.handshake import Features
from redpony.wire.link import Link
from redpony.wire.topology.awaiting import RoutedAsyncDriver
from redpony.wire.topology.blocking import RoutedDriver
from redpony.wire.topology.cluster import ClusterView
from redpony.wire.topology.nodes import Node, Nodes
from redpony.wire.topology.replicated import ReplicatedView
from redpony.wire.topology.sentinel import SentinelView
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.watch import Watcher

R = TypeVar("R")


class View(Protocol):
    """One way of finding out what a topology looks like."""

    nodes: Nodes
    restless: bool
    """Whether there is more to see at once."""
    epoch: int
    """What rises when a slot has moved, though it may be back by now."""

    def first(self) -> Shape | None: ...
    def look(self, before: Shape | None) -> Shape: ...
    def ear(self) -> Any: ...
    def hear(self) -> bool: ...
    def deafen(self) -> None: ...
    def close(self) -> None: ...
    def reset_after_fork(self) -> None: ...


class CommonFacts:
    """What all primaries of a topology have said of themselves."""

    def __init__(self, link: TopologyLink) -> None:
        self._link = link

    @property
    def features(self) -> Features | None:
        """What one of the primaries said; None where none was connected to."""
        shape = self._link.known
        known = [node.facts.features for node in shape.primaries] if shape else []
        return next((each for each in known if each is not None), None)

    def at_least(self, redis: tuple[int, ...], valkey: tuple[int, ...] | None) -> bool:
        """Whether every primary is known to be this new."""
        shape = self._link.known
        return shape is not None and all(
            node.facts.at_least(redis, valkey) for node in shape.primaries
        )


class TopologyLink:
    """What the process has towards one topology; shared by all its threads."""

    def __init__(self, config: LinkConfig, topology: Topology) -> None:
        self.config = config
        self.topology = topology
        self.view = _view(config, topology)
        self.known: Shape | None = None
        """What the topology looks like; None until it was looked at, in this process."""
        self._remembered = self.view.first()
        self._epoch = 0
        self.moves = 0
        """How often a slot or a primary has changed hands, as far as we know."""
        self.watcher = Watcher(_Looker(self), _pace(topology), f"redpony {self.label}")
        self.reads_replicas = topology.read_from == "replica"
        self._pinned: ContextVar[float] = ContextVar("redpony reads its own writes")
        self.facts = CommonFacts(self)
        self.blocking = RoutedDriver(self)
        self.awaiting = RoutedAsyncDriver(self)
        self.closings = 0
        """How often it was closed: what was left to do before is not done after."""
        _links.add(self)

    # As a link to one server

    @property
    def label(self) -> str:
        """The topology in messages and events; without credentials."""
        return label_of(self.config, self.topology)

    def run(self, plan: Plan[R]) -> R:
        """Drive a plan, blocking."""
        return self.blocking.run(plan)

    async def arun(self, plan: Plan[R]) -> R:
        """Drive a plan in asyncio."""
        return await self.awaiting.run(plan)

    def close(self) -> None:
        """Close what is idle, and stop watching until the next operation."""
        self.closings += 1
        self.watcher.stop()
        self._forget()
        self.view.close()

    def _forget(self) -> None:
        """Look again before the next operation: nobody watches any more."""
        self._remembered, self.known = self.known or self._remembered, None

    def nodes(self) -> list[Link]:
        """Return a link for every server that is known, without asking."""
        return list(self.view.nodes.all())

    # What routing goes by

    @property
    def shape(self) -> Shape:
        """What the topology looks like; raises where nobody has found out yet."""
        # A route that is under way when the link is closed goes on by what was known.
        shape = self.known or self._remembered
        if shape is None:
            raise Unavailable(f"{self.label} has not been found yet")
        return shape

    def nudge(self) -> None:
        """Say that the shape may be wrong."""
        self.watcher.nudge()

    def learn(self, error: RedponyError) -> None:
        """Take in what an error of the short way says of the topology."""
        if type(error) is Moved and error.host:
            self.moved(error.slot, error.host, error.port)
        elif (
            isinstance(error, Unavailable)
            and error.outcome != "refused"
            and not isinstance(error, PoolExhausted)
        ):
            self.nudge()

    def moved(self, slot: int, host: str, port: int) -> Node:
        """Take in that a slot belongs to another server, and have the rest looked at."""
        node = self.at(host, port)
        shape = self.known or self._remembered
        if shape is not None and shape.table is not None:
            shard = shape.led_by(node)
            if shard is None:
                self.nudge()
                shard = Shard(node)
            elif shape.table[slot] is not shard:
                self.moves += 1
                self.watcher.stir()
            shape.table[slot] = shard
            shape.patched = True
        return node

    def at(self, host: str, port: int) -> Node:
        return self.view.nodes.at(host, port)

    def take(self, shape: Shape) -> None:
        """Make a shape the one that is gone by."""
        before = self.known
        self.view.nodes.prune(shape.nodes)
        epoch, self._epoch = self._epoch, self.view.epoch
        same = shape is before or shape.same_as(before)
        if epoch != self._epoch or not (same or (before and shape.owns_as(before))):
            self.moves += 1
        if same:
            return
        # A cluster's server that does not lead says who does, which is worth more;
        # only one that was told to answer for its primary would keep it to itself.
        tells = shape.table is not None and not self.reads_replicas
        for node in shape.replicas:
            node.demand("")
        for node in shape.primaries:
            node.demand("" if tells else "master")
        self.known = shape
        if before is not None:
            for node in set(shape.primaries) - set(before.primaries):
                events.emit(events.Promoted("", str(node.address)))

    # Finding out

    def find(self, expires: float) -> Shape:
        """Return the shape, waiting for the first look at it."""
        shape = self._at_hand()
        if shape is None:
            error = self.look(expires - time.monotonic())
            shape = self._after_a_look(error)
        return shape

    async def afind(self, lasts: float) -> Shape:
        """Return the shape, awaiting the first look at it."""
        shape = self._at_hand()
        if shape is None:
            error = await self.alook(lasts)
            shape = self._after_a_look(error)
        return shape

    def _at_hand(self) -> Shape | None:
        """Return the shape if nobody has to wait for it; raise if nobody should."""
        if self.known is not None:
            return self.known
        first = self.view.first()
        if first is not None:
            # A list says who is who, until a server says otherwise.
            self.take(self._remembered or first)
            if self.reads_replicas:
                self.watcher.start()
            return self.known
        failure = self.watcher.failure(self.config.breaker_cooldown)
        if failure is not None:
            self.nudge()
            raise _unknown(self.label, failure)
        return None

    def _after_a_look(self, error: BaseException | None) -> Shape:
        if self.known is None and self._remembered is not None:
            # Nobody could be asked: what was true in the parent, or before, has to do.
            self.take(self._remembered)
        if self.known is None:
            raise _unknown(self.label, error)
        return self.known

    def look(self, lasts: float) -> BaseException | None:
        """Wait for a look, at most some seconds; return what it met."""
        done = threading.Event()
        met: list[BaseException | None] = []

        def told(error: BaseException | None) -> None:
            met.append(error)
            done.set()

        self.watcher.ask(told)
        done.wait(max(lasts, 0.001))
        return met[0] if met else None

    async def alook(self, lasts: float) -> BaseException | None:
        """Await a look, at most some seconds; return what it met."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[BaseException | None] = loop.create_future()

        def told(error: BaseException | None) -> None:
            loop.call_soon_threadsafe(_settle, future, error)

        self.watcher.ask(told)
        timer = loop.call_later(max(lasts, 0.001), _settle, future, None)
        try:
            return await future
        finally:
            timer.cancel()

    # Reading one's own writes

    def wrote(self) -> None:
        """Read from the primary for a while, in this thread or task."""
        if self.reads_replicas and self.topology.read_your_writes:
            self._pinned.set(time.monotonic() + self.topology.read_your_writes)

    @property
    def reads_fresh(self) -> bool:
        """Whether this thread or task reads from the primary now."""
        if not self.reads_replicas:
            return True
        until = self._pinned.get(0.0)
        return bool(until) and time.monotonic() < until

    def reset_after_fork(self) -> None:
        self.view.reset_after_fork()
        self.watcher.reset_after_fork()
        self._forget()

    def __repr__(self) -> str:
        return f"<TopologyLink to {self.label}>"


class _Looker:
    """What the watcher of a link does, without keeping the link alive."""

    def __init__(self, link: TopologyLink) -> None:
        self._link = weakref.ref(link)
        self._view = link.view

    def look(self) -> bool:
        link = self._link()
        if link is None:
            return True
        shape = self._view.look(link.known)
        link.take(shape)
        if self._view.restless:
            link.watcher.again()
        return all(not node.breaker.failures for node in shape.primaries)

    def ear(self) -> Any:
        return self._view.ear()

    def hear(self) -> bool:
        return self._view.hear()

    def deafen(self) -> None:
        self._view.deafen()


def _view(config: LinkConfig, topology: Topology) -> View:
    if isinstance(topology, Replicated):
        return ReplicatedView(topology, config)
    if isinstance(topology, Sentinels):
        return SentinelView(topology, config)
    assert isinstance(topology, Cluster)
    return ClusterView(topology, replace(config, db=0))


def _pace(topology: Topology) -> float:
    """Return how often to look: more often where replicas answer, who may fall behind."""
    if topology.read_from == "replica":
        return min(topology.refresh, REPLICAS_WATCHED)
    return topology.refresh


REPLICAS_WATCHED = 5.0
"""Seconds between looks at replicas that are read from, at most."""


def label_of(config: LinkConfig, topology: Topology) -> str:
    if isinstance(topology, Sentinels):
        return f"{topology.service}/{config.db} by Sentinel"
    if isinstance(topology, Cluster):
        return f"the cluster of {topology.seeds[0]}"
    return f"{config.label} and its replicas"


def _unknown(label: str, error: BaseException | None) -> RedponyError:
    if isinstance(error, RedponyError):
        return error
    return Unavailable(f"{label} was not found in time (CONNECT_TIMEOUT)")


def _settle(future: asyncio.Future[Any], error: BaseException | None) -> None:
    if not future.done():
        future.set_result(error)


_links: weakref.WeakSet[TopologyLink] = weakref.WeakSet()


def _after_fork() -> None:
    for link in list(_links):
        link.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
