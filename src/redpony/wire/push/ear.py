"""One subscription's connection of an event loop to one server.

It is opened when the first name is wanted of it, and once more, after a pause that grows,
whenever it is lost; what is wanted is asked for again. Every `PULSE` seconds in which
nothing came the server is asked for a sign of life, and one that gives none until the next
time is left: a connection that died without a word would be listened to for ever.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Final, Protocol

from redpony.errors import ProtocolError, RedponyError, Unavailable
from redpony.wire.link import Link
from redpony.wire.multiplexer import Multiplexer
from redpony.wire.push.confirmations import PING, Confirmations
from redpony.wire.replies import pack

PULSE: Final = 5.0
FIRST: Final = 0.02
LONGEST: Final = 1.0
"""Seconds of the first pause before it connects again, and of the longest."""


class Owner(Protocol):
    """Who has ears."""

    def message(self, name: bytes, payload: bytes, pattern: bytes | None) -> None: ...
    def heard(self, name: bytes) -> None: ...
    def unheard(self, names: Iterable[bytes], error: RedponyError) -> None: ...
    def moved(self, name: bytes, error: RedponyError | None) -> None: ...


class Ear:
    """The names that are listened to on one server."""

    def __init__(self, node: Link, owner: Owner) -> None:
        self.node = node
        self.wanted: dict[bytes, bytes] = {}
        """What is wanted, by name: the verb that subscribes to it."""
        self.has: set[bytes] = set()
        """What is confirmed."""
        self._owner = owner
        self._connection: Multiplexer | None = None
        self._talk = Confirmations(self)
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._received = 0

    def want(self, verb: bytes, name: bytes) -> None:
        """Listen to a name, from when `heard` says so."""
        self.wanted[name] = verb
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())
        elif self._connection is not None:
            self._say(verb, name)

    def drop(self, name: bytes) -> None:
        """Listen to a name no more."""
        verb = self.wanted.pop(name, None)
        self.has.discard(name)
        if verb is not None and self._connection is not None:
            self._say(_OPPOSITES[verb], name)

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def close(self) -> None:
        """Let go of the connection, without a word to anybody."""
        if self._task is not None:
            self._task.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.on_end = None
            connection.close()

    # The connection's life

    async def _live(self) -> None:
        pause = FIRST
        while True:
            try:
                await self._open()
            except RedponyError as error:
                self._owner.unheard((), error)
            except Exception as error:  # noqa: BLE001 (nobody else would connect again)
                self._owner.unheard((), Unavailable(f"{self.node.label}: {error!r}"))
            else:
                pause = FIRST
                await self._watch()
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
            pause = min(pause * 2, LONGEST)

    async def _open(self) -> None:
        self._lost.clear()
        talk = self._talk = Confirmations(self)
        state = await self.node.awaiting.loops.current()
        connection = await state.listen(self._hear, self._ended)
        if not connection.usable:
            raise Unavailable(f"{self.node.label} closed the connection")
        self._connection = connection
        verbs = list(self.wanted.items())
        for name, verb in verbs:
            talk.ask(verb, name)
        if verbs:
            connection.say(b"".join([pack((verb, name)) for name, verb in verbs]))

    async def _watch(self) -> None:
        """Return when the connection is lost; see to it that this is noticed."""
        while not self._lost.is_set():
            before = self._received
            try:
                async with asyncio.timeout(PULSE):
                    await self._lost.wait()
            except TimeoutError:
                if self._received != before:
                    continue
                connection = self._connection
                if connection is None:
                    return
                if self._talk.is_pinged:
                    connection.close(
                        Unavailable(
                            f"{self.node.label} gave a subscription no sign of life"
                        )
                    )
                    return
                self._talk.ask(*PING)
                connection.say(pack((b"PING",)))

    def _say(self, verb: bytes, name: bytes) -> None:
        assert self._connection is not None
        self._talk.ask(verb, name)
        self._connection.say(pack((verb, name)))

    def _hear(self, reply: Any) -> None:
        self._received += 1
        try:
            self._talk.hear(reply)
        except ProtocolError as error:
            if self._connection is not None:
                self._connection.close(error)

    def _ended(self, error: BaseException | None) -> None:
        self._connection = None
        self._lost.set()
        gone, self.has = self.has, set()
        if not isinstance(error, RedponyError):
            error = Unavailable(f"{self.node.label} closed a subscription's connection")
        self._owner.unheard(gone, error)

    # What is heard

    def message(self, name: bytes, payload: bytes, pattern: bytes | None) -> None:
        self._owner.message(name, payload, pattern)

    def subscribed(self, name: bytes) -> None:
        if name in self.wanted:
            self.has.add(name)
            self._owner.heard(name)

    def unsubscribed(self, name: bytes) -> None:
        """The server has given a name's slot away."""
        if name in self.wanted:
            self.has.discard(name)
            self._owner.moved(name, None)

    def refused(self, name: bytes, error: RedponyError) -> None:
        if name in self.wanted:
            self._owner.moved(name, error)


_OPPOSITES: Final = {
    b"SUBSCRIBE": b"UNSUBSCRIBE",
    b"SSUBSCRIBE": b"SUNSUBSCRIBE",
    b"PSUBSCRIBE": b"PUNSUBSCRIBE",
}
