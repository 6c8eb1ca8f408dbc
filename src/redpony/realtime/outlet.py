"""A reader of channels: an open stream, a WebSocket, or a loop in Python.

It has a seat in each of its channels. What comes to those that are live is put in `queue`,
in the reader's own form, shared where it can be; `batch` hands out all that has come since
the last time, and reads on for those that are behind. So a reader that is busy costs memory
up to `limit`, and its channels wait for it in the history.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from redpony.errors import RedponyError, ServerError
from redpony.realtime.channel import Channel
from redpony.realtime.hub import Hub, hub_for
from redpony.realtime.message import Entry
from redpony.realtime.position import Position
from redpony.realtime.seat import Seat

SLACK: Final = 0.01
"""Seconds by which a heartbeat may be early: clocks of loops are coarse."""


class Outlet:
    """The base of readers; a subclass says in which form it gets what."""

    __slots__ = (
        "__weakref__",
        "_due",
        "_loop",
        "_timer",
        "_wake",
        "behind",
        "ended",
        "id",
        "limit",
        "queue",
        "seats",
        "size",
    )

    def __init__(self, limit: int, id: str = "") -> None:
        self.id = id
        """What it is called, to be left out by who publishes."""
        self.limit = limit
        self.size = 0
        self.queue: list[Any] = []
        self.seats: dict[str, Seat] = {}
        self.behind: deque[Seat] = deque()
        self.ended: str | None = None
        """Why there is nothing more to come, if there is not."""
        self._wake: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._loop = asyncio.get_running_loop()

    # Forms

    def form(self, seat: Seat, entry: Entry) -> Any:
        """Return a message as this reader gets it."""
        raise NotImplementedError

    def form_reset(self, seat: Seat, position: Position | None, why: str) -> Any:
        raise NotImplementedError

    def form_skipped(self, seat: Seat, count: int) -> Any:
        raise NotImplementedError

    def form_seated(self, seat: Seat, head: Position) -> Any:
        """Return what tells that it reads a channel from now on; None for nothing.

        From `seat.position` on; the channel has come to `head`.
        """
        return None

    def form_at(self, seat: Seat) -> Any:
        """Return what tells that there is nothing for it up to `seat.position`."""
        return None

    def weigh(self, form: Any) -> int:
        """Return for how many bytes a form counts."""
        return len(form)

    # Seats

    def sit(self, channel: Channel, since: Position | None) -> Seat:
        """Read a channel from now on, or from a position."""
        seat = self.seats.get(channel.name)
        if seat is None:
            hub: Hub = hub_for(channel.alias)
            seat = Seat(hub.join(channel), self, since)
            self.seats[channel.name] = seat
            self.behind.append(seat)
            self.wake()
        return seat

    def sit_again(self, name: str, since: Position | None) -> None:
        """Read a channel that it reads already from another place on."""
        before = self.seats[name]
        if not before.told and before.position == since:
            return
        # One of its own: the other may be at reading just now.
        self.seats[name] = seat = Seat(before.feed, self, since)
        before.leave()
        if before in self.behind:
            self.behind.remove(before)
        self.behind.append(seat)
        self.wake()

    def rise(self, name: str) -> bool:
        """Read a channel no more; return whether it was read."""
        seat = self.seats.pop(name, None)
        if seat is None:
            return False
        seat.leave()
        if seat in self.behind:
            self.behind.remove(seat)
        seat.feed.hub.left(seat.feed)
        return True

    def seated(self, seat: Seat) -> None:
        """It is known from where on a channel is read."""

    def failed(self, seat: Seat, error: RedponyError) -> None:
        """The server refuses a channel."""
        self.end("failed")

    def end(self, why: str) -> None:
        """Let what is queued be the last."""
        if self.ended is None:
            self.ended = why
        self.wake()

    def close(self) -> None:
        """Leave every seat."""
        self.end("closed")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self.seats):
            self.rise(name)

    # What comes

    def put(self, seat: Seat, entry: Entry) -> None:
        """Queue a message: as `add`, in one step, for it is done for every reader."""
        form = self.form(seat, entry)
        self.queue.append(form)
        self.size += self.weigh(form)
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    def put_reset(self, seat: Seat, position: Position, why: str) -> None:
        self.add(self.form_reset(seat, position, why))

    def add(self, form: Any) -> None:
        """Queue something in the reader's form."""
        self.queue.append(form)
        self.size += self.weigh(form)
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    def add_form(self, form: Any) -> None:
        """Queue something, if this reader has a form for it."""
        if form is not None:
            self.add(form)

    def wake(self) -> None:
        """Have `batch` look again."""
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    async def batch(self, heartbeat: float | None = None) -> list[Any] | None:
        """Return what has come, waiting for it; None when there is nothing more to come.

        After `heartbeat` seconds without anything an empty list is returned. Raises what
        the server refused a channel with.
        """
        while True:
            if self.queue:
                found, self.queue, self.size = self.queue, [], 0
                return found
            if self.ended is not None:
                return None
            if self.behind:
                await self._read_on()
                continue
            self._wake = wake = self._loop.create_future()
            if heartbeat is not None:
                self._due = self._loop.time() + heartbeat
                if self._timer is None:
                    self._timer = self._loop.call_at(self._due, self._beat)
            try:
                await wake
            finally:
                self._wake = None
            if not (self.queue or self.behind or self.ended):
                return []

    def _beat(self) -> None:
        """Wake who has waited for long enough: one timer for many short waits."""
        self._timer = None
        if self._wake is None:
            return  # the next wait has its own
        if self._due - self._loop.time() > SLACK:
            self._timer = self._loop.call_at(self._due, self._beat)
        else:
            self.wake()

    async def settle(self) -> None:
        """Become live in every channel that is read from now on."""
        while self.behind and self.ended is None:
            await self._read_on()

    async def _read_on(self) -> None:
        """Let whoever is behind for longest read on."""
        seat = self.behind[0]
        try:
            await seat.read_on()
        except ServerError as error:
            if seat in self.behind:
                self.behind.remove(seat)
            self.failed(seat, error)
            return
        if self.behind and self.behind[0] is seat:
            self.behind.popleft()
            if seat.is_behind:
                self.behind.append(seat)
