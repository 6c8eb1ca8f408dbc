"""An open stream or WebSocket: an outlet with a user, and what may be done to it."""

from __future__ import annotations

import json
import secrets
import weakref
from typing import Any, Final

from redpony.conf import realtime_settings
from redpony.realtime.asking import called, identity_of, may_read
from redpony.realtime.channel import Channel
from redpony.realtime.message import Entry
from redpony.realtime.outlet import Outlet
from redpony.realtime.position import Position
from redpony.realtime.presences import member_of
from redpony.realtime.seat import Seat

open_ones: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()
"""All of the process."""


class Connection(Outlet):
    """A browser's end."""

    __slots__ = ("identity", "loop", "members", "session", "user")

    def __init__(self, user: Any, session: str) -> None:
        super().__init__(realtime_settings().buffer, secrets.token_hex(8))
        self.user = user
        self.identity = identity_of(user)
        self.session = session
        self.loop = self._loop
        self.members: dict[str, bytes] | None = None
        """As what it is there, on channels that tell of it."""
        open_ones.add(self)

    async def admit(
        self, channel: Channel, since: Position | None, *, ask: bool = True
    ) -> bool:
        """Let it read a channel, if its user may; return whether."""
        if ask and not await may_read(channel, self.user):
            return False
        if self.ended is None:
            await self.take_seat(channel, since)
        return True

    async def take_seat(self, channel: Channel, since: Position | None) -> None:
        """Read a channel, and be seen there if it tells of that."""
        about = None
        if channel.presence:
            about = await called(channel.describe, self.user)
        seat = self.sit(channel, since)
        if channel.presence and self.ended is None:
            if self.members is None:
                self.members = {}
            self.members[channel.name] = member_of(self.id, self.identity, about)
            if seat.told:
                self.seated(seat)

    def seated(self, seat: Seat) -> None:
        # From here on it is told of who comes, also of itself.
        channel = seat.feed.channel
        if self.members is not None and channel.name in self.members:
            seat.feed.hub.attendance.come(channel, self.members[channel.name])

    def rise(self, name: str) -> bool:
        if self.members is not None and name in self.members:
            feed = self.seats[name].feed
            feed.hub.attendance.go(feed.channel, self.members.pop(name))
        return super().rise(name)

    def put_out(self, name: str, why: str) -> None:
        """Have it read a channel no more, and tell it why."""
        if self.rise(name):
            self.tell({"unsubscribed": name, "why": why})
            if not self.seats:
                self.emptied(why)

    def emptied(self, why: str) -> None:
        """It reads nothing any more."""

    async def ask_again(self) -> None:
        """Put it out of every channel that its user may not read now."""
        for seat in list(self.seats.values()):
            if not await may_read(seat.feed.channel, self.user):
                self.put_out(seat.feed.name, "revoked")

    def tell(self, said: dict[str, Any]) -> None:
        """Tell the browser something that is no message."""
        raise NotImplementedError

    def failed(self, seat: Seat, error: Exception) -> None:
        self.put_out(seat.feed.name, "failed")


def compact(said: dict[str, Any]) -> str:
    """Return what is told as one line."""
    return json.dumps(said, separators=(",", ":"))


class Enveloped(Connection):
    """The base of those that talk to `realtime.js`: each message says its channel."""

    __slots__ = ()

    def form(self, seat: Seat, entry: Entry) -> Any:
        return self.wrap(entry.envelope)

    def form_reset(self, seat: Seat, position: Position | None, why: str) -> Any:
        said = {"reset": seat.feed.name, "p": _place(seat, position), "why": why}
        return self.wrap(compact(said))

    def form_skipped(self, seat: Seat, count: int) -> Any:
        place = _place(seat, seat.position)
        return self.wrap(
            compact({"skipped": seat.feed.name, "p": place, "count": count})
        )

    def form_seated(self, seat: Seat, head: Position) -> Any:
        said = {"subscribed": seat.feed.name, "p": _place(seat, seat.position)}
        if seat.position != head:
            said["head"] = _place(seat, head)
        return self.wrap(compact(said))

    def form_at(self, seat: Seat) -> Any:
        place = _place(seat, seat.position)
        if place is None:
            return None
        return self.wrap(compact({"at": seat.feed.name, "p": place}))

    def hello(self) -> str:
        """Return the first line: its name, and in how many seconds it hears something."""
        return compact({"hello": self.id, "heartbeat": realtime_settings().heartbeat})

    def tell(self, said: dict[str, Any]) -> None:
        self.add(self.wrap(compact(said)))

    def wrap(self, line: str) -> Any:
        raise NotImplementedError


def _place(seat: Seat, position: Position | None) -> str | None:
    kept = seat.feed.history is not None and position is not None
    return str(position) if kept else None
