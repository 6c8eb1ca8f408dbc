"""A reader's place in a channel: where it is, and whether it gets messages as they come.

A reader (an `Outlet`) may sit in many channels. It is *live* in a channel while it keeps
up; otherwise it is behind, and reads on from its own position when there is room again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redpony.errors import RedponyError
from redpony.realtime.feed import Lost
from redpony.realtime.message import Entry
from redpony.realtime.policy import Slow
from redpony.realtime.position import START, Position

if TYPE_CHECKING:
    from redpony.realtime.feed import Feed
    from redpony.realtime.outlet import Outlet


class Seat:
    """One reader of one channel."""

    __slots__ = ("feed", "is_behind", "outlet", "position", "said", "told")

    def __init__(self, feed: Feed, outlet: Outlet, position: Position | None) -> None:
        self.feed = feed
        self.outlet = outlet
        self.position = position
        """Of the last message that it was given; None: wherever the channel is."""
        self.is_behind = True
        self.said = 0
        """How many messages the channel had heard of when it fell behind."""
        self.told = False
        """Whether its reader was told that it sits here."""

    # While it is live

    def take(self, entry: Entry) -> None:
        """Give the reader a message, or fall behind."""
        outlet = self.outlet
        if outlet.size >= outlet.limit:
            self.fall_behind()
            return
        self.position = entry.position or self.position
        exclude = entry.exclude
        if not exclude or exclude != outlet.id:
            outlet.put(self, entry)

    def reset(self, position: Position, why: str) -> None:
        """Tell the reader that messages were lost to it."""
        self.position = position
        self.outlet.put_reset(self, position, why)

    def failed(self, error: RedponyError) -> None:
        self.outlet.failed(self, error)

    # While it is behind

    def fall_behind(self) -> None:
        """Get no more messages as they come."""
        if self.feed.channel.slow is Slow.DISCONNECT:
            self.leave()
            self.outlet.end("slow")
            return
        self.feed.live.pop(self, None)
        self.is_behind = True
        self.said = self.feed.said - 1
        self.outlet.behind.append(self)

    async def read_on(self) -> list[Any]:
        """Return what the reader is to be given next; live again when that is all.

        What comes back is in the reader's own form. Raises what the server said.
        """
        feed, outlet = self.feed, self.outlet
        head = await feed.ready()
        found: list[Any] = []
        if self.position is None:
            self.position = head
        elif self.told and feed.history is None:
            found = [outlet.form_skipped(self, feed.said - self.said)]
        elif self.told and feed.channel.slow in (Slow.SKIP, Slow.LATEST):
            found = self._skip(head)
        elif self.position != head:
            try:
                entries = await feed.read(self.position)
            except Lost as lost:
                # What came meanwhile is after this: it is not live yet.
                self.position = feed.head or head
                found = [outlet.form_reset(self, self.position, str(lost))]
                if not self.told:
                    found.insert(0, outlet.form_seated(self))
                    self.told = True
            else:
                found = [
                    outlet.form(self, each)
                    for each in entries
                    if not outlet.id or each.exclude != outlet.id
                ]
                if entries:
                    self.position = entries[-1].position
                elif self.position == START:
                    self.position = head
        if not self.told:
            self.told = True
            found.insert(0, outlet.form_seated(self))
        # No await from here on: nothing can come between.
        if feed.is_heard and self.position == feed.head and self.feed.users:
            self.is_behind = False
            feed.live[self] = None
        return found

    def _skip(self, head: Position) -> list[Any]:
        """Go to the head; return what the policy tells of it."""
        before, self.position = self.position, head
        if before is None or before == head:
            return []
        if before.epoch != head.epoch:
            return [self.outlet.form_reset(self, head, "the channel has begun anew")]
        if self.feed.channel.slow is Slow.LATEST:
            newest = self.feed.newest
            if newest is not None and newest.position == head:
                return [self.outlet.form(self, newest)]
        return [self.outlet.form_skipped(self, head.offset - before.offset)]

    def leave(self) -> None:
        """Sit here no more."""
        self.feed.live.pop(self, None)
        self.is_behind = False
