"""One asyncio connection that many tasks share.

Each command is an entry in a queue; replies come in the same order. What always
holds:

* A reply goes to the entry at the head, whether or not anybody still waits for
  it. Cancelling a task therefore costs nothing: its answer is read and dropped.
* Writes of one loop turn leave together. The first command of a quiet
  connection leaves at once; what follows before the answer is gathered until
  the end of the turn.
* One timer watches the oldest entry. Before it gives up on anybody it lets the
  loop read what has arrived, for as long as more arrives: a loop that was
  stalled for 300 ms must not throw away answers that are already here. (With
  `asyncio.timeout` a call, 130 of 200 such answers were lost: measured.) Time
  that the loop itself was stalled counts neither against the entries nor
  against the breaker.
* An entry that gave up stays in the queue until its reply comes. If that takes
  twice its time the connection is closed: it may never come. So it is when all
  answers come late, one after the other: the peer may have left one out, and what
  looks like a late answer is the next one.
* What is in flight is bounded, in number and in bytes; whoever comes on top
  waits for room, within the deadline.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from redpony.commands import Command, Kind
from redpony.errors import ProtocolError, RedponyError, Unavailable
from redpony.wire import outcomes
from redpony.wire.config import LinkConfig
from redpony.wire.handshake import Features
from redpony.wire.replies import (
    INCOMPLETE,
    LISTS,
    PushNotification,
    check_head,
    misfit,
    new_reader,
    out_of_step,
)

BUFFER = 65536
GRACE = 0.05
OVERRUN = 0.25
LONGEST = 3600.0
LATE = 3
"""So many late answers in a row, and nobody who still waits, end a connection."""

_GONE = getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLHUP", 0)


# A flight of one or more commands that waits for its replies: its future, the kind
# of its one command, its commands (none where the kind is enough), when it expires,
# how long it lasts (both in seconds), and its bytes. A plain tuple, because one is
# made for every operation.
Entry = tuple[asyncio.Future[Any], Kind | None, Sequence[Command], float, float, int]


class Multiplexer(asyncio.BufferedProtocol):
    """The protocol of one shared connection, in one event loop."""

    def __init__(
        self,
        config: LinkConfig,
        loop: asyncio.AbstractEventLoop,
        *,
        failed: Callable[[BaseException], None],
        closed: Callable[[Multiplexer], None],
    ) -> None:
        self.config = config
        self.label = config.label
        self.features = Features()
        self.sock: socket.socket | None = None
        self.usable = True
        self.expires = 0.0
        """Until when who opens it may wait for an answer, by `time.monotonic`."""
        self.is_greeted = False
        self.full = False
        """Whether a newcomer has to wait for room."""
        self.on_push: Callable[[Any], None] | None = None
        """Who is told of whatever answers no command: a subscription's messages."""
        self.on_end: Callable[[BaseException | None], None] | None = None
        """Who is told that it is closed, and why."""
        self._loop = loop
        self.failed = failed
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._pending: deque[Entry] = deque()
        self._unsent: list[bytes] = []
        self._turn = 0.0
        self._items: list[Any] = []
        reader = new_reader()
        self._feed = reader.feed
        self._gets = reader.gets
        self._has_data = reader.has_data
        self._bytes_in_flight = 0
        self._max_in_flight = config.max_in_flight
        self._max_bytes = config.max_bytes_in_flight
        self._paused = False
        self._room: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._spared_until = 0.0
        self._patient_until = 0.0
        self._received = self._heard = 0
        self._late = 0
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._poll: Any = None

    # What the driver calls

    def adopt(self, sock: socket.socket) -> None:
        """Remember the socket below, to ask it whether the peer is gone."""
        self.sock = sock
        if hasattr(select, "poll"):
            poller = select.poll()
            poller.register(sock, _GONE)
            self._poll = poller.poll

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def is_stale(self) -> bool:
        """Whether the peer has closed while nothing was in flight."""
        return self._poll is not None and not self._pending and bool(self._poll(0))

    def submit(
        self, payload: bytes, commands: Sequence[Command], lasts: float
    ) -> asyncio.Future[Any]:
        """Queue a flight and return the future of its reply (or list of items).

        `lasts` is the time it has, in seconds from now.
        """
        if len(commands) == 1:
            return self.queue(payload, commands[0].kind, lasts)
        return self.queue(payload, None, lasts, commands)

    def queue(
        self,
        payload: bytes,
        kind: Kind | None,
        lasts: float,
        commands: Sequence[Command] = (),
    ) -> asyncio.Future[Any]:
        """Queue one command of a kind, or a flight of several of their own kinds."""
        loop = self._loop
        future: asyncio.Future[Any] = loop.create_future()
        size = len(payload)
        pending = self._pending
        unsent = self._unsent
        if unsent:
            # The first of this turn has looked at the clock.
            expires = self._turn + lasts
            unsent.append(payload)
        else:
            self._turn = loop.time()
            expires = self._turn + lasts
            if pending or self._transport is None:
                unsent.append(payload)
                loop.call_soon(self._flush)
            else:
                self._transport.write(payload)
        pending.append((future, kind, commands, expires, lasts, size))
        self._bytes_in_flight = in_flight = self._bytes_in_flight + size
        if in_flight >= self._max_bytes or len(pending) >= self._max_in_flight:
            self.full = True
        if self._timer is None or expires < self._timer_at:
            self._watch(expires)
        return future

    def say(self, payload: bytes) -> None:
        """Send what has no reply of its own: what is said comes to `on_push`."""
        self._flush()
        if self._transport is not None:
            self._transport.write(payload)

    async def room(self, expires: float) -> None:
        """Wait until there is room for one more flight."""
        while self.full and self.usable:
            left = expires - self._loop.time()
            if left <= 0:
                raise outcomes.crowded(self.label, self._max_in_flight)
            future: asyncio.Future[None] = self._loop.create_future()
            self._room.append(future)
            timer = self._loop.call_later(left, _wake, future)
            try:
                await future
            finally:
                timer.cancel()

    def greeted(self, failed: Callable[[BaseException], None]) -> None:
        """The handshake is over: from now on failures are told to the breaker."""
        self._heard = self._received
        self.is_greeted = True
        self.failed = failed

    def close(self, error: BaseException | None = None) -> None:
        """Close at once; whoever waits gets the error."""
        self._end(error)
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Forget the connection in a loop that has ended without closing it."""
        self.usable = False
        if self.sock is not None:
            self.sock.close()

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if self._unsent:
            self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._received += nbytes
        pending = self._pending
        gets = self._gets
        answered = late = 0
        try:
            if self._buffer[0] in LISTS and not self._has_data():
                check_head(self._buffer[: min(nbytes, 16)], self.label)
            self._feed(self._buffer, 0, nbytes)
            while True:
                reply = gets()
                if reply is INCOMPLETE:
                    break
                if not pending:
                    self._unasked(reply)
                    continue
                future, kind, commands, _, _, size = pending[0]
                if kind is not None:
                    if type(reply) not in kind.reply and self._is_push(kind, reply):
                        continue
                else:
                    items = self._items
                    if not self._collect(items, commands, reply):
                        break
                    reply, self._items = items, []
                pending.popleft()
                answered += size
                if not future.done():
                    future.set_result(reply)
                elif not future.cancelled():
                    late += 1
        except RedponyError as error:
            self.close(error)
        except TypeError as error:
            # hiredis, about a map whose keys are lists.
            self.close(
                ProtocolError(
                    f"{self.label} sent what cannot be read ({error}); the "
                    "connection has been closed",
                    outcome="unknown",
                )
            )
        except BaseException as error:
            # Raised by a signal's handler: nobody knows which reply we are at.
            self.close(error)
            raise
        self._bytes_in_flight -= answered
        if late:
            self._late += late
        elif answered and self._late:
            self._late = 0
        if self.full:
            self._admit()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def pause_writing(self) -> None:
        self._paused = self.full = True

    def resume_writing(self) -> None:
        self._paused = False
        self._admit()

    # Inside

    def _is_push(self, kind: Kind, reply: Any) -> bool:
        """Whether a reply of another type is a message; raise if it is a misfit."""
        if type(reply) is PushNotification:
            self._unasked(reply)
            return True
        wrong = misfit(kind, reply)
        if wrong is not None:
            raise wrong
        return False

    def _collect(
        self, items: list[Any], commands: Sequence[Command], reply: Any
    ) -> bool:
        """Take in replies of one flight, as many as there are; return whether all."""
        gets = self._gets
        count = len(commands)
        alike = commands[0] is commands[-1]
        kind = commands[0].kind
        while True:
            if not alike or type(reply) not in kind.reply:
                # One command may stand at both ends of others, too.
                kind = commands[len(items)].kind
            if type(reply) in kind.reply or not self._is_push(kind, reply):
                items.append(reply)
                if len(items) == count:
                    return True
            reply = gets()
            if reply is INCOMPLETE:
                return False

    def _unasked(self, reply: Any) -> None:
        if self.on_push is not None:
            # In RESP2 messages are lists like any other.
            self.on_push(reply)
        elif type(reply) is not PushNotification:
            raise out_of_step(self.label)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            data = b"".join(self._unsent) if len(self._unsent) > 1 else self._unsent[0]
            self._unsent.clear()
            self._transport.write(data)

    def _watch(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._look, -1, False)

    def _look(self, seen: int, stalled: bool) -> None:
        """Give up on what is overdue, once there is nothing left to read."""
        self._timer = None
        if not self._pending:
            return
        now = self._loop.time()
        stalled = stalled or (seen < 0 and now - self._timer_at > GRACE)
        if seen < 0:
            self._patient_until = now + OVERRUN
        if seen != self._received and now < self._patient_until:
            # Sockets are read before timers run, but one buffer a turn.
            self._timer = self._loop.call_later(0, self._look, self._received, stalled)
            self._timer_at = now
            return
        if stalled:
            self._spared_until = now + GRACE
        soonest = now + LONGEST
        waiting = False
        for future, _, _, expires, lasts, _ in self._pending:
            until = max(expires, self._spared_until)
            if until > now and not future.done():
                soonest = min(soonest, until)
                waiting = True
                continue
            if not future.done():
                error = outcomes.overdue(self.label, lasts)
                future.set_exception(error)
                self.failed(error)
            elif until + lasts <= now:
                self.close(outcomes.overdue(self.label, lasts))
                return
            soonest = min(soonest, until + lasts)
        if self._late >= LATE and not waiting:
            self.close(outcomes.overdue(self.label, self._pending[0][4]))
            return
        self._watch(max(soonest, now + 0.001))

    def _admit(self) -> None:
        self.full = (
            self._paused
            or len(self._pending) >= self._max_in_flight
            or self._bytes_in_flight >= self._max_bytes
        )
        while self._room and not self.full:
            _wake(self._room.popleft())

    def _end(self, error: BaseException | None) -> None:
        if not self.usable:
            return
        self.usable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Each entry of this turn has its bytes in the list, in the same order.
        unsent = len(self._unsent)
        self._unsent.clear()
        pending, self._pending = self._pending, deque()
        items, self._items = self._items, []
        reported = False
        # A connection that has served and is lost says nothing about the node:
        # the one that is opened in its place will.
        quiet = self._received > self._heard and not isinstance(error, Unavailable)
        now = self._loop.time()
        for position, (future, _, commands, expires, _, _) in enumerate(pending):
            sent = position < len(pending) - unsent
            if future.done():
                continue
            failure = _failure(self.label, error, sent=sent)
            failure.left = max(expires - now, 0.001)
            if position == 0 and items and not isinstance(error, ProtocolError):
                # What was answered stands; the rest has its own outcome.
                future.set_result(items + [failure] * (len(commands) - len(items)))
            else:
                future.set_exception(failure)
            if sent and not reported and not quiet:
                reported = True
                self.failed(failure)
        while self._room:
            _wake(self._room.popleft())
        self._closed(self)
        if self.on_end is not None:
            self.on_end(error)


def _failure(label: str, error: BaseException | None, *, sent: bool) -> Unavailable:
    if isinstance(error, Unavailable):
        if sent or error.outcome == "not_sent":
            return error
        kind = ProtocolError if isinstance(error, ProtocolError) else type(error)
        return kind(str(error), outcome="not_sent")
    return outcomes.lost(label, error or EOFError(), sent=sent)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
