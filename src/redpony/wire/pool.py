"""A bounded pool of blocking connections, last in first out.

One pool serves a process' threads for one configuration. What always holds:

* At most `pool_size` connections exist. They are counted by what is alive, not
  by acquire and release: an exception that a signal handler raises between two
  bytecodes may skip any release, but the connection it drops is collected, and
  with it its place. (Interrupts cost redis-py 100 of 100 slots: measured.)
* A connection returns to the pool only after its answers were read whole.
* The common path takes no lock: `deque.pop` and `append` are atomic.
* A thread that waits looks again every 50 ms, so that a wake-up that an
  interrupt swallowed delays it and never strands it.
* In a forked child every pool starts empty; inherited sockets are let go
  without a word, because they are the parent's.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from redpony import events
from redpony.errors import (
    AuthenticationFailed,
    ProtocolError,
    RedponyError,
    Unavailable,
)
from redpony.interrupts import is_interrupt
from redpony.wire import outcomes
from redpony.wire.config import LinkConfig
from redpony.wire.handshake import Facts, Features, credentials, handshake
from redpony.wire.replies import (
    INCOMPLETE,
    LISTS,
    PushNotification,
    check_head,
    new_reader,
    out_of_step,
    pack,
)
from redpony.wire.stream import Stream, cannot_connect, connect, settle

SLICE = 0.05


class Connection:
    """One blocking connection: bytes out, replies in, in step."""

    __slots__ = (
        "__weakref__",
        "_feed",
        "_gets",
        "_has_data",
        "auth_epoch",
        "expires",
        "features",
        "place",
        "stream",
    )

    def __init__(self) -> None:
        reader = new_reader()
        self._feed = reader.feed
        self._gets = reader.gets
        self._has_data = reader.has_data
        self.stream: Stream | None = None
        self.features = Features()
        self.auth_epoch = 0
        self.expires = 0.0
        self.place: weakref.ref[Connection] | None = None

    def open(self, config: LinkConfig) -> None:
        """Connect and introduce ourselves, or raise and stay closed."""
        # Starting an embedded server is not part of connecting to it.
        address = settle(config)
        self.expires = expires = time.monotonic() + config.connect_timeout
        try:
            self.stream = connect(config, address, expires)
            flights = handshake(config, credentials(config))
            flight = next(flights)
            while True:
                self.send(b"".join(map(pack, flight)), expires)
                flight = flights.send(self._greeting(len(flight), expires))
        except StopIteration as done:
            self.features = done.value
        except (OSError, EOFError) as error:
            accepted = self.stream is not None
            self.close()
            if is_interrupt(error):
                raise
            raise cannot_connect(config, error, accepted=accepted) from error
        except Unavailable as error:
            self.close()
            # Only the handshake was under way.
            if error.outcome == "unknown":
                error.outcome = "not_sent"
            raise
        except BaseException:
            self.close()
            raise

    def _greeting(self, count: int, expires: float) -> list[Any]:
        try:
            return self.read_many(count, expires)
        except TypeError as error:
            # hiredis, about a map whose keys are lists.
            raise ProtocolError(
                f"The server greeted with what cannot be read ({error})",
                outcome="not_sent",
            ) from error

    def send(self, data: bytes, expires: float) -> None:
        stream = self.stream
        if stream is None:
            raise EOFError
        stream.send(data, expires)

    def is_stale(self) -> bool:
        """Whether the server has closed this idle connection."""
        return self.stream is None or self.stream.is_stale()

    def read(self, expires: float) -> Any:
        """Return the next reply; push messages, which nobody asked for, are passed."""
        reply = self._gets()
        while reply is INCOMPLETE or type(reply) is PushNotification:
            if reply is INCOMPLETE:
                self._take_in(expires)
            reply = self._gets()
        return reply

    def answer(self, started: float, lasts: float) -> Any:
        """Return the one reply that is due, `lasts` seconds after `started`."""
        data = self.stream.receive_within(lasts)  # type: ignore[union-attr]
        if data[0] in LISTS:
            check_head(data, "The server")
        self._feed(data)
        reply = self._gets()
        while reply is INCOMPLETE or type(reply) is PushNotification:
            if reply is INCOMPLETE:
                self._take_in(started + lasts)
            reply = self._gets()
        if self._has_data():
            raise out_of_step("The server")
        return reply

    def _take_in(self, expires: float) -> None:
        data = self.stream.receive(expires)  # type: ignore[union-attr]
        if data[0] in LISTS and not self._has_data():
            check_head(data, "The server")
        self._feed(data)

    def read_many(self, count: int, expires: float) -> list[Any]:
        """Return the next replies, all of them."""
        items: list[Any] = []
        self.read_into(items, count, expires)
        return items

    def read_into(self, items: list[Any], count: int, expires: float) -> None:
        """Append the next replies to a list, as they come."""
        gets = self._gets
        while len(items) < count:
            reply = gets()
            if reply is INCOMPLETE:
                self._take_in(expires)
            elif type(reply) is not PushNotification:
                items.append(reply)

    def read_at_once(self, count: int, expires: float) -> list[Any]:
        """Return the next replies, made into a list by the reader itself.

        The header of an array before them saves a call for each. What comes between
        them would count as one of them: what is read has to be checked, as always.
        """
        self._feed(b"*%d\r\n" % count)
        reply = self._gets()
        while reply is INCOMPLETE:
            self._take_in(expires)
            reply = self._gets()
        return reply  # type: ignore[no-any-return]

    def messages(self) -> list[Any]:
        """Return what has come on a subscription's connection, without waiting."""
        stream = self.stream
        if stream is None:
            raise EOFError
        with contextlib.suppress(TimeoutError):
            while True:
                self._feed(stream.receive_within(0))
        found: list[Any] = []
        while (message := self._gets()) is not INCOMPLETE:
            found.append(message)
        return found

    def has_more(self) -> bool:
        """Whether bytes are left over after the last reply: out of step."""
        return bool(self._has_data())

    def close(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()
        place = self.place
        if place is not None and place.__callback__ is not None:
            place.__callback__(place)

    def __del__(self) -> None:
        # Dropped by an interrupt: the descriptor goes with the object.
        stream = getattr(self, "stream", None)
        if stream is not None:
            stream.close()


class Pool:
    """The blocking connections of one link."""

    def __init__(self, config: LinkConfig, facts: Facts) -> None:
        self.config = config
        self._facts = facts
        self.size = config.pool_size
        self.idle: deque[Connection] = deque()
        self.waiting: deque[Waiter] = deque()
        self._alive: set[weakref.ref[Connection]] = set()
        self._lock = threading.Lock()
        _pools.add(self)

    @property
    def opened(self) -> int:
        """How many connections exist, idle ones included."""
        return len(self._alive)

    @property
    def in_use(self) -> int:
        return len(self._alive) - len(self.idle)

    def take(
        self,
        expires: float,
        *,
        check: bool = False,
        give_up: Callable[[], None] = lambda: None,
    ) -> tuple[Connection, bool]:
        """Return a connection, and whether it was opened for this call.

        `check` leaves out connections that the server has closed meanwhile: for
        commands that must not run into an end of file. Waits for a free one
        until `expires`; an opening one has CONNECT_TIMEOUT instead. `give_up` is
        asked now and then meanwhile, and raises if there is no sense in it.
        """
        while True:
            try:
                connection = self.idle.pop()
            except IndexError:
                fresh = self._open_if_room()
                if fresh is not None:
                    return fresh, True
                handed = self._wait(expires)
                if handed is None:
                    give_up()
                    continue
                connection = handed
            if check and connection.stream is not None and connection.stream.is_stale():
                self.drop(connection)
                continue
            return connection, False

    def give_back(self, connection: Connection) -> None:
        """Take back a connection whose answers were all read.

        Whoever waits longest gets it: threads that come and go all the time
        would starve it else.
        """
        if self.waiting:
            with contextlib.suppress(IndexError):
                waiter = self.waiting.popleft()
                waiter.connection = connection
                waiter.ready.release()
                return
        self.idle.append(connection)

    def drop(self, connection: Connection, error: BaseException | None = None) -> None:
        """Close a connection whose state is unknown, or that is lost."""
        connection.close()
        events.emit(events.Connection("", self.config.label, "closed", error))
        if self.waiting:
            self.wake()

    def close(self) -> None:
        """Close the idle connections; those in use close when given back late."""
        while self.idle:
            with contextlib.suppress(IndexError):
                self.idle.pop().close()

    def reset_after_fork(self) -> None:
        for place in list(self._alive):
            connection = place()
            if connection is not None and connection.stream is not None:
                connection.stream.abandon()
        # Drivers hold on to the deque: it is emptied, not replaced.
        self.idle.clear()
        self.waiting.clear()
        self._alive = set()
        self._lock = threading.Lock()

    def _open_if_room(self) -> Connection | None:
        connection = Connection()
        with self._lock:
            if len(self._alive) >= self.size:
                return None
            connection.place = weakref.ref(connection, self._alive.discard)
            self._alive.add(connection.place)
        try:
            connection.open(self.config)
            self._facts.learn(connection.features, self.config.label)
        except BaseException:
            self.drop(connection)
            raise
        events.emit(events.Connection("", self.config.label, "opened"))
        return connection

    def _wait(self, expires: float) -> Connection | None:
        """Stand in line for a moment; return a connection that was handed over."""
        left = expires - time.monotonic()
        if left <= 0:
            raise outcomes.crowded(self.config.label, self.size)
        waiter = Waiter()
        self.waiting.append(waiter)
        try:
            # Whoever gave back before we stood in line did not see us.
            if not self.idle and len(self._alive) >= self.size:
                waiter.ready.acquire(timeout=min(left, SLICE))
        finally:
            try:
                self.waiting.remove(waiter)
            except ValueError:
                # Chosen at this moment: the connection is on its way.
                if waiter.connection is None:
                    waiter.ready.acquire(timeout=SLICE)
        return waiter.connection

    def wake(self) -> None:
        """Let the thread that has waited longest look again: a place is free."""
        with contextlib.suppress(IndexError):
            self.waiting.popleft().ready.release()


class Waiter:
    """A thread in line, and what it is given."""

    __slots__ = ("connection", "ready")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.ready = threading.Lock()
        self.ready.acquire()


def reauthenticate(
    connection: Connection, words: tuple[str, ...], epoch: int, expires: float
) -> None:
    """Renew a connection's credentials in band, before its next command."""
    connection.send(pack(("AUTH", *words)), expires)
    reply = connection.read(expires)
    if isinstance(reply, RedponyError):
        raise AuthenticationFailed(f"AUTH was refused: {reply}", outcome="not_sent")
    connection.auth_epoch = epoch


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
