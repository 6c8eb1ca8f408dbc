"""All that one event loop listens to on a link: on one server, or wherever a slot is.

One connection a server, opened when the first name is wanted and closed with the last.
Names may be channels (on a cluster: sharded ones, `SSUBSCRIBE`, each on the server of its
slot), or patterns. Who owns this hears of each name when it is listened to and when it is
not any more, and has to find out what it missed in between: pub/sub forgets.

On several servers it follows: a failover, a slot that moves, a server that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

from redpony.errors import Moved, RedponyError, Unavailable
from redpony.wire.link import Link
from redpony.wire.push.ear import Ear
from redpony.wire.topology.slots import slot_of

AGAIN: Final = 0.1
"""Seconds until a name is asked for again that was refused."""

LOOKS: Final = 1.0
"""Seconds between looks at whether each name is where it should be, on several servers."""


class Listener(Protocol):
    """Who listens. Called in the loop; nothing it raises is expected."""

    def message(self, name: bytes, payload: bytes, pattern: bytes | None) -> None: ...
    def heard(self, name: bytes) -> None: ...
    def unheard(self, names: list[bytes], error: RedponyError) -> None: ...
    def failed(self, name: bytes, error: RedponyError) -> None: ...


class Subscriptions:
    """What the running loop listens to."""

    def __init__(self, link: Any, listener: Listener, *, sharded: bool) -> None:
        self.link = link
        self.sharded = sharded
        """Whether channels are those of `SPUBLISH`, each in the slot of its name."""
        self._listener = listener
        self._verbs: dict[bytes, bytes] = {}
        self._places: dict[bytes, Ear] = {}
        self._ears: dict[Link, Ear] = {}
        self._loop = asyncio.get_running_loop()
        self._finding: asyncio.Task[None] | None = None
        self._lost: set[bytes] = set()
        self._looking: asyncio.TimerHandle | None = None
        self._is_closed = False
        # No frame of ours between: it is called for each message.
        self.message = listener.message

    # What is wanted

    def add(self, name: bytes, *, pattern: bool = False) -> None:
        """Listen to a channel, or to a pattern of channels; `heard` says when it is so."""
        if name in self._verbs or self._is_closed:
            return
        sharded = b"SSUBSCRIBE" if self.sharded else b"SUBSCRIBE"
        self._verbs[name] = b"PSUBSCRIBE" if pattern else sharded
        node = self._node(name)
        if node is None:
            self._find(name)
        else:
            self._place(name, node)

    def remove(self, name: bytes) -> None:
        """Listen to it no more."""
        if self._verbs.pop(name, None) is None:
            return
        self._lost.discard(name)
        ear = self._places.pop(name, None)
        if ear is not None:
            ear.drop(name)
            self._let_go(ear)

    def close(self) -> None:
        """Close every connection; nothing can be added after."""
        self._is_closed = True
        for task in (self._finding, self._looking):
            if task is not None:
                task.cancel()
        for ear in self._ears.values():
            ear.close()
        self._ears.clear()
        self._places.clear()
        self._verbs.clear()

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return sum(ear.is_connected for ear in self._ears.values())

    def lose(self, name: bytes) -> None:
        """Leave the connection that a name is heard on: something is wrong with it."""
        ear = self._places.get(name)
        if ear is not None:
            ear.close()
            self._ears.pop(ear.node, None)
            names = list(ear.wanted)
            error = Unavailable(f"{ear.node.label} was left: it has kept silent")
            self.unheard([each for each in names if each in ear.has], error)
            for each in names:
                self._places.pop(each, None)
                self._find(each)

    # Where it is

    def _node(self, name: bytes) -> Link | None:
        """Return the server where a name is, if that is known."""
        if isinstance(self.link, Link):
            return self.link
        shape = self.link.known
        if shape is None:
            return None
        if shape.table is None:
            return shape.primaries[0] if shape.primaries else None
        if self._verbs[name] != b"SSUBSCRIBE":
            # What goes through a cluster is said on each of its servers.
            ear = self._places.get(name)
            if ear is not None and ear.node in shape.nodes:
                return ear.node
            return shape.primaries[0] if shape.primaries else None
        shard = shape.table[slot_of(name)]
        return None if shard is None else shard.primary

    def _place(self, name: bytes, node: Link) -> None:
        ear = self._ears.get(node)
        if ear is None:
            ear = self._ears[node] = Ear(node, self)
        self._places[name] = ear
        ear.want(self._verbs[name], name)
        if not isinstance(self.link, Link) and self._looking is None:
            self._looking = self._loop.call_later(LOOKS, self._look)

    def _let_go(self, ear: Ear) -> None:
        if not ear.wanted and self._ears.get(ear.node) is ear:
            del self._ears[ear.node]
            ear.close()

    def _find(self, name: bytes) -> None:
        """Find out where a name is, and listen to it there."""
        self._lost.add(name)
        if self._finding is None or self._finding.done():
            self._finding = self._loop.create_task(self._found())

    async def _found(self) -> None:
        while self._lost:
            if not isinstance(self.link, Link):
                self.link.watcher.start()
                try:
                    await self.link.afind(self.link.config.connect_timeout)
                except RedponyError as error:
                    self._listener.unheard([], error)
                    await asyncio.sleep(AGAIN)
                    continue
            for name in list(self._lost):
                node = self._node(name)
                if node is not None:
                    self._lost.discard(name)
                    self._place(name, node)
            if self._lost:
                self._nudge()
                await asyncio.sleep(AGAIN)

    def _look(self) -> None:
        """Move what is not where it should be."""
        self._looking = None
        if self._is_closed or not self._places:
            return
        self._looking = self._loop.call_later(LOOKS, self._look)
        for name, ear in list(self._places.items()):
            node = self._node(name)
            if node is not None and node is not ear.node:
                error = Unavailable(f"{name!r} is at {node.label} now")
                self._move(name, error)

    def _move(self, name: bytes, error: RedponyError) -> None:
        ear = self._places.pop(name)
        heard = name in ear.has
        ear.drop(name)
        self._let_go(ear)
        if heard:
            self._listener.unheard([name], error)
        self._find(name)

    def _nudge(self) -> None:
        """Have several servers looked at anew."""
        if not isinstance(self.link, Link):
            self.link.nudge()

    # What ears tell

    def heard(self, name: bytes) -> None:
        self._listener.heard(name)

    def unheard(self, names: Iterable[bytes], error: RedponyError) -> None:
        self._nudge()
        if not self._is_closed:
            self._listener.unheard(list(names), error)

    def moved(self, name: bytes, error: RedponyError | None) -> None:
        """A server does not have a name's slot any more, or refuses the name."""
        several = not isinstance(self.link, Link)
        if error is None or (several and isinstance(error, (Moved, Unavailable))):
            why = error or Unavailable(f"{name!r} has left its server")
            if several and isinstance(error, Moved) and error.host:
                self.link.moved(error.slot, error.host, error.port)
            else:
                self._nudge()
            ear = self._places.get(name)
            if ear is not None:
                ear.wanted.pop(name, None)
                ear.has.discard(name)
                self._places.pop(name)
                self._let_go(ear)
            self._listener.unheard([name], why)
            self._loop.call_later(AGAIN, self._again, name)
            return
        self._listener.failed(name, error)

    def _again(self, name: bytes) -> None:
        if name in self._verbs and name not in self._places and not self._is_closed:
            self._find(name)
