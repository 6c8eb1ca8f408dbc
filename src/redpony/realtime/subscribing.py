"""Reading channels in asyncio.

    async with OrderEvents(order_id=7).subscribe() as messages:
        async for message in messages:
            ...

What threads read by is in `listening`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redpony.conf import realtime_settings
from redpony.realtime.channel import Channel, channel_of
from redpony.realtime.message import JSON, Entry, Message, Reset, Skipped
from redpony.realtime.outlet import Outlet
from redpony.realtime.payloads import from_json
from redpony.realtime.position import Position
from redpony.realtime.seat import Seat

Item = Message | Reset | Skipped


class Reader(Outlet):
    """A loop in Python."""

    __slots__ = ("failure",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.failure: BaseException | None = None

    def form(self, seat: Seat, entry: Entry) -> Entry:
        return entry  # its payload is read when it is its turn

    def form_reset(self, seat: Seat, position: Position | None, why: str) -> Reset:
        kept = seat.feed.history is not None
        return Reset(seat.feed.name, position if kept else None, why)

    def form_skipped(self, seat: Seat, count: int) -> Skipped:
        return Skipped(seat.feed.name, seat.position, count)

    def weigh(self, form: Any) -> int:
        return len(form.body) if isinstance(form, Entry) else 100

    def failed(self, seat: Seat, error: BaseException) -> None:
        self.failure = error
        self.end("failed")

    async def messages(self) -> AsyncIterator[Item]:
        """Return what comes, one after the other."""
        while True:
            batch = await self.batch()
            if batch is None:
                if self.failure is not None:
                    raise self.failure
                return
            for each in batch:
                yield self._read(each) if isinstance(each, Entry) else each

    def _read(self, entry: Entry) -> Message:
        kind, event, _, text = entry.parts()
        seat = self.seats.get(entry.name)
        wanted = seat.feed.channel.payload if seat is not None else None
        data = from_json(text, wanted) if kind == JSON else text
        return Message(entry.name, entry.position, data, event)


@asynccontextmanager
async def subscribe(
    *channels: Channel | str, since: Position | str | None = None
) -> AsyncGenerator[AsyncIterator[Item]]:
    """Read channels in asyncio, from now on or from a position.

    What is published from the moment at which the block is entered on is not missed. Yields
    an iterator of `Message`, in order and without gaps or duplicates; a `Reset` where
    messages could not be had any more. It goes on over lost connections and failovers.
    Nobody is asked whether this may be read: that is for browsers. Raises `ServerError`
    where the server refuses, and `ValueError` for what is no position.
    """
    reader = Reader(realtime_settings().buffer)
    try:
        begin = as_position(since)
        for each in channels:
            reader.sit(channel_of(each), begin)
        if begin is None:
            await reader.settle()
        yield reader.messages()
    finally:
        reader.close()


def as_position(given: Position | str | None) -> Position | None:
    """Return the position that is given or written; raises `ValueError`."""
    return Position.parse(given) if isinstance(given, str) else given
