"""Server-sent events: a response that goes on.

In the plain form, for `EventSource` and htmx, an event's id says where the browser is, and
it sends the last one back when it reconnects. `?redpony=1` asks for what `realtime.js` reads:
each message says its channel and position. Every `HEARTBEAT` seconds something is sent, so
that proxies do not lose patience and a dead connection is found.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from redpony.conf import realtime_settings
from redpony.realtime.connection import Connection, Enveloped, compact
from redpony.realtime.cursor import cursor_of
from redpony.realtime.message import Entry
from redpony.realtime.position import Position
from redpony.realtime.seat import Seat

Send = Callable[[Any], Awaitable[None]]
RETRY = 2000
"""Milliseconds after which a browser reconnects, at first."""


class Events(Connection):
    """A plain stream of one channel or several."""

    __slots__ = ("_several",)

    heartbeat = b":\n\n"

    def __init__(self, user: Any, session: str, channels: int) -> None:
        super().__init__(user, session)
        self._several = channels > 1

    def form(self, seat: Seat, entry: Entry) -> bytes:
        if not self._several:
            return entry.numbered
        return b"id: %b\n%b" % (self._cursor(), entry.lines)

    def _cursor(self) -> bytes:
        places = ((name, seat.position) for name, seat in self.seats.items())
        return cursor_of(places).encode()

    def _id(self, seat: Seat, position: Position | None) -> str:
        if seat.feed.history is None or position is None:
            return ""
        if not self._several:
            return f"id: {position}\n"
        return f"id: {self._cursor().decode()}\n"

    def form_reset(self, seat: Seat, position: Position | None, why: str) -> bytes:
        said = json.dumps({"channel": seat.feed.name, "why": why})
        return f"{self._id(seat, position)}event: reset\ndata: {said}\n\n".encode()

    def form_skipped(self, seat: Seat, count: int) -> bytes:
        said = json.dumps({"channel": seat.feed.name, "count": count})
        head = self._id(seat, seat.position)
        return f"{head}event: skipped\ndata: {said}\n\n".encode()

    def form_seated(self, seat: Seat, head: Position) -> bytes | None:
        # Without data: only its id is kept.
        place = self._id(seat, seat.position)
        return f"{place}\n".encode() if place else None

    def tell(self, said: dict[str, Any]) -> None:
        if "unsubscribed" in said:
            text = json.dumps({"channel": said["unsubscribed"], "why": said["why"]})
            self.add(f"event: unsubscribed\ndata: {text}\n\n".encode())

    def emptied(self, why: str) -> None:
        self.end(why)

    def greeting(self) -> bytes:
        return b"retry: %d\n:\n\n" % RETRY

    def farewell(self, spread: float) -> bytes:
        return b"retry: %d\n\n" % pause(spread)


class Envelopes(Enveloped):
    """A stream for `realtime.js`."""

    __slots__ = ()

    heartbeat = b"data: {}\n\n"

    def form(self, seat: Seat, entry: Entry) -> bytes:
        return entry.enveloped

    def wrap(self, line: str) -> bytes:
        return f"data: {line}\n\n".encode()

    def emptied(self, why: str) -> None:
        self.end(why)

    def greeting(self) -> bytes:
        return self.wrap(self.hello())

    def farewell(self, spread: float) -> bytes:
        return self.wrap(compact({"bye": self.ended, "retry": pause(spread)}))


def pause(spread: float) -> int:
    return int(RETRY * (0.5 + random.random()) + 1000 * spread * random.random())  # noqa: S311


async def serve_events(
    events: Events | Envelopes, receive: Callable[[], Awaitable[Any]], send: Send
) -> None:
    """Send what comes, until the browser leaves or there is nothing more to come."""
    heartbeat = realtime_settings().heartbeat
    watching = asyncio.create_task(_watch(events, receive))
    try:
        await _body(send, events.greeting())
        while (batch := await events.batch(heartbeat)) is not None:
            data = b"".join(batch) if batch else events.heartbeat
            await _body(send, data)
        if events.ended not in ("gone", "revoked"):
            await _body(send, events.farewell(SPREAD if events.ended == "bye" else 0))
        if events.ended != "gone":
            await send({"type": "http.response.body", "body": b""})
    finally:
        watching.cancel()
        events.close()


SPREAD = 5.0
"""Seconds over which browsers come back when a server is shut down."""


async def _body(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _watch(events: Connection, receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    events.end("gone")
