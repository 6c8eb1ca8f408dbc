"""The asyncio connections of one link, over all event loops of the process.

Loops come and go: `async_to_sync` starts one for every call, test runners one
for every test, and a WSGI server with threads hundreds at once. What always
holds:

* Each loop has its own connections, made in it and closed when it ends: an
  async generator, started in the loop, closes them in its `finally`, which
  `shutdown_asyncgens` runs. Loops that were closed without it are swept.
* Over all loops at most `pool_size` connections exist. They are counted by what
  is alive, as in the blocking pool. A loop that finds no place waits for one,
  and asks loops with nothing in flight to give theirs up.
* Opening is a task of its own: a caller that is cancelled meanwhile leaves it
  to the others that wait for the same connection.
* In a forked child there are none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from redpony import events
from redpony.commands import Access, Command, Kind, Lane, Repeat
from redpony.errors import (
    Busy,
    CircuitOpen,
    Loading,
    NotPrimary,
    PoolExhausted,
    RedponyError,
    Unavailable,
)
from redpony.wire import naming, outcomes, tls
from redpony.wire.breaker import Breaker
from redpony.wire.config import LinkConfig, Tcp, Unix
from redpony.wire.credentials import Renewal
from redpony.wire.handshake import Facts, credentials, handshake
from redpony.wire.multiplexer import Multiplexer
from redpony.wire.places import Places
from redpony.wire.replies import pack
from redpony.wire.stream import abandon_socket, cannot_connect, tune

SLICE = 0.05
_RAW = Kind("HANDSHAKE", Access.WRITE, Repeat.NEVER, None)


class LoopConnections:
    """The connections that one event loop has to one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, registry: Loops) -> None:
        self.loop = loop
        self.shared: Multiplexer | None = None
        self.bulk: Multiplexer | None = None
        self._registry = registry
        self._config = registry.config
        self._idle_blocking: list[Multiplexer] = []
        self._all: set[Multiplexer] = set()
        self._opening: dict[Lane, asyncio.Task[Multiplexer]] = {}
        self._expected = 0
        self._lent: set[Multiplexer] = set()
        self._outdated: set[Multiplexer] = set()
        self._listening: set[Multiplexer] = set()
        self._keeper: AsyncGenerator[None, None] | None = None

    async def start(self) -> None:
        """Arrange to be closed with the loop."""
        self._keeper = self._keep()
        await self._keeper.__anext__()

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._registry.forget(self.loop)
            self.close()
            # Transports close in the turn after the next.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def connection(self, lane: Lane) -> Multiplexer:
        """Return the open connection of a lane, opening it if need be."""
        current = self.bulk if lane is Lane.BULK else self.shared
        if current is not None and current.usable:
            return current
        task = self._opening.get(lane)
        if task is None or _came_to_nothing(task):
            task = self.loop.create_task(self._open())
            self._opening[lane] = task
            task.add_done_callback(lambda done: self._opened(lane, done))
        self._expected += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._expected -= 1

    def _opened(self, lane: Lane, task: asyncio.Task[Multiplexer]) -> None:
        if self._opening.get(lane) is task:
            del self._opening[lane]
        if task.cancelled() or task.exception() is not None:
            return
        if not task.result().usable:
            return
        if lane is Lane.BULK:
            self.bulk = task.result()
        else:
            self.shared = task.result()

    async def take_blocking(self) -> Multiplexer:
        """Return a connection that nobody else uses, for a blocking command."""
        while self._idle_blocking:
            connection = self._idle_blocking.pop()
            if connection.usable and not connection.is_stale():
                break
            connection.close()
        else:
            connection = await self._open()
        self._lent.add(connection)
        return connection

    async def listen(
        self,
        hear: Callable[[Any], None],
        ended: Callable[[BaseException | None], None],
    ) -> Multiplexer:
        """Return a connection for a subscription; it takes nobody's place."""
        connection = await self._open(counted=False)
        connection.on_push = hear
        connection.on_end = ended
        self._listening.add(connection)
        return connection

    def give_back_blocking(self, connection: Multiplexer) -> None:
        self._lent.discard(connection)
        fresh = connection not in self._outdated
        if connection.usable and not connection.in_flight and fresh:
            self._idle_blocking.append(connection)
        else:
            connection.close()

    def yield_idle(self) -> None:
        """Close what has nothing in flight: another loop needs the place."""
        # Not what is opened for a task that has not had its turn yet.
        if not self._expected:
            for connection in self._all - self._listening:
                if not connection.in_flight:
                    connection.close()

    def leave_replica(self, lasts: float) -> bool:
        """Let go of connections to a primary that is none any more, if there are any.

        What is in flight on them is still answered, for `lasts` seconds.
        """
        left = [each for each in list(self._all) if each.features.is_primary]
        for connection in left:
            if connection is self.shared:
                self.shared = None
            if connection is self.bulk:
                self.bulk = None
            self._outdated.add(connection)
            self.loop.call_later(lasts, connection.close)
        return bool(left)

    @property
    def is_idle(self) -> bool:
        return not any(connection.in_flight for connection in list(self._all))

    def reauthenticate(self, words: tuple[str, ...]) -> None:
        """Renew credentials in band, on every open connection."""
        command = Command(_RAW, ())
        for connection in list(self._all):
            if connection in self._lent:
                # Whoever blocks does not read AUTH; it is not used again.
                self._outdated.add(connection)
            elif connection.usable:
                payload = pack(("AUTH", *words))
                future = connection.submit(
                    payload, (command,), self._config.connect_timeout
                )
                future.add_done_callback(partial(_check_renewal, connection))

    def close(self) -> None:
        for task in list(self._opening.values()):
            task.cancel()
        for connection in list(self._all):
            connection.on_end = None  # nobody is to open it again
            connection.close()

    def abandon(self) -> None:
        """Let go of everything; the loop is closed already."""
        for connection in list(self._all):
            connection.abandon()
            self._registry.places.give_back(connection)
        self._all.clear()

    def let_go_after_fork(self) -> None:
        for connection in list(self._all):
            connection.usable = False
            if connection.sock is not None:
                abandon_socket(connection.sock)

    async def _open(self, *, counted: bool = True) -> Multiplexer:
        config = self._config
        limit = config.connect_timeout
        address = config.address
        if not isinstance(address, (Tcp, Unix)):
            # May start a server, which is not part of connecting to it: in a
            # thread, once for each connection.
            address = await asyncio.to_thread(address.resolve)
        expires = time.monotonic() + limit
        connection = Multiplexer(config, self.loop, failed=_not_yet, closed=self._gone)
        connection.expires = expires
        try:
            while counted and not self._registry.places.take(connection):
                left = expires - time.monotonic()
                if left <= 0:
                    raise outcomes.crowded(config.label, config.pool_size)
                self._registry.ask_for_room(self.loop)
                await self._registry.places.wait(min(left, SLICE))
                self._registry.breaker.refuse()
            self._all.add(connection)
            async with asyncio.timeout(max(expires - time.monotonic(), 0.001)):
                await self._connect(connection, address, expires)
                await self._introduce(connection, limit)
        except BaseException as error:
            failure = _not_opened(config, error)
            if isinstance(failure, Unavailable) and not isinstance(
                failure, (PoolExhausted, CircuitOpen, Loading, Busy, NotPrimary)
            ):
                # Refused credentials too: not every request may try them again.
                self._registry.breaker.failed(failure)
            # Who waits for the place looks at the breaker first.
            connection.close(error if isinstance(error, Unavailable) else None)
            self._gone(connection)
            if failure is error:
                raise
            raise failure from error
        connection.greeted(self._registry.breaker.failed)
        events.emit(events.Connection("", config.label, "opened"))
        return connection

    async def _connect(
        self, connection: Multiplexer, address: Tcp | Unix, expires: float
    ) -> None:
        config = self._config
        context = None
        name = None
        if config.tls is not None and isinstance(address, Tcp):
            context = tls.context(config.tls)
            name = config.tls.server_name or address.host
        if isinstance(address, Unix):
            sock = await self._dial(socket.AF_UNIX, address.path)
        else:
            left = max(expires - time.monotonic(), 0.001)
            found = await naming.alook_up(address.host, address.port, left)
            sock = await self._dial_any(found)
        try:
            connection.adopt(sock)
            await self.loop.create_connection(
                lambda: connection, sock=sock, ssl=context, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise

    async def _dial_any(self, found: naming.Found) -> socket.socket:
        last: OSError | None = None
        for family, _, _, _, target in found:
            try:
                return await self._dial(family, target)
            except OSError as error:
                last = error
        raise last or OSError("the name has no address")

    async def _dial(self, family: int, target: Any) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await self.loop.sock_connect(sock, target)
            tune(sock, self._config)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _introduce(self, connection: Multiplexer, limit: float) -> None:
        if self._config.credential_provider is None:
            auth = credentials(self._config)
        else:
            # A provider may ask somebody over the network.
            auth = await asyncio.to_thread(credentials, self._config)
        flights = handshake(self._config, auth)
        command = Command(_RAW, ())
        try:
            flight = next(flights)
            while True:
                payload = b"".join(map(pack, flight))
                future = connection.submit(payload, (command,) * len(flight), limit)
                replies = await future
                if len(flight) == 1:
                    replies = [replies]
                for reply in replies:
                    if isinstance(reply, Unavailable) and not connection.usable:
                        raise reply
                flight = flights.send(replies)
        except StopIteration as done:
            connection.features = done.value
            self._registry.facts.learn(connection.features, self._config.label)

    def _gone(self, connection: Multiplexer) -> None:
        if connection in self._all and connection.is_greeted:
            events.emit(events.Connection("", self._config.label, "closed"))
        self._all.discard(connection)
        self._lent.discard(connection)
        self._outdated.discard(connection)
        self._listening.discard(connection)
        if connection is self.shared:
            self.shared = None
        if connection is self.bulk:
            self.bulk = None
        self._registry.places.give_back(connection)


class Loops:
    """All event loops' connections of one link."""

    def __init__(
        self,
        config: LinkConfig,
        renewal: Renewal,
        breaker: Breaker,
        facts: Facts,
    ) -> None:
        self.config = config
        self.facts = facts
        self.breaker = breaker
        self.places = Places(config.pool_size)
        self.by_loop: dict[asyncio.AbstractEventLoop, LoopConnections] = {}
        self._renewal = renewal
        renewal.subscribe(self._renewed)
        _registries.add(self)

    async def current(self) -> LoopConnections:
        """Return the running loop's connections."""
        loop = asyncio.get_running_loop()
        state = self.by_loop.get(loop)
        if state is None:
            self.sweep()
            state = LoopConnections(loop, self)
            self.by_loop[loop] = state
            await state.start()
        return state

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        self.by_loop.pop(loop, None)

    def sweep(self) -> None:
        """Let go of loops that were closed without a farewell."""
        # A copy is one step; a list of the items is not, and others change the dict.
        for loop, state in self.by_loop.copy().items():
            if loop.is_closed():
                self.by_loop.pop(loop, None)
                state.abandon()

    def ask_for_room(self, asking: asyncio.AbstractEventLoop) -> None:
        """Have other loops close connections with nothing in flight."""
        self.sweep()
        for loop, state in self.by_loop.copy().items():
            if loop is not asking and state.is_idle:
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(state.yield_idle)

    def reset_after_fork(self) -> None:
        for state in list(self.by_loop.values()):
            state.let_go_after_fork()
        # Drivers hold on to the dict: it is emptied, not replaced.
        self.by_loop.clear()
        self.places.forget()

    def _renewed(self) -> None:
        words = self._renewal.words
        for loop, state in self.by_loop.copy().items():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(state.reauthenticate, words)


def _came_to_nothing(task: asyncio.Task[Multiplexer]) -> bool:
    """Whether a connection was opened, and is lost already.

    Before the loop has told `_opened`: to await the same task again would return at
    once, with the same connection, for ever.
    """
    if not task.done() or task.cancelled() or task.exception() is not None:
        return False
    return not task.result().usable


def _not_yet(error: BaseException) -> None:
    """Tell nobody of a failure: whoever opens the connection does."""


def _not_opened(config: LinkConfig, error: BaseException) -> BaseException:
    """Return what the caller sees of a connection that was not to be."""
    if isinstance(error, (OSError, EOFError)):
        return cannot_connect(config, error)
    if type(error) is Unavailable and error.outcome == "unknown":
        lost = error.__cause__ or EOFError()
        return cannot_connect(config, lost, accepted=True)
    if isinstance(error, Unavailable) and error.outcome == "unknown":
        # Only the handshake was under way.
        error.outcome = "not_sent"
    return error


def _check_renewal(connection: Multiplexer, done: asyncio.Future[Any]) -> None:
    if done.cancelled():
        return
    error = done.exception() or done.result()
    if isinstance(error, RedponyError):
        connection.close(Unavailable(f"AUTH was refused: {error}", outcome="unknown"))


_registries: weakref.WeakSet[Loops] = weakref.WeakSet()


def _after_fork() -> None:
    for registry in list(_registries):
        registry.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
