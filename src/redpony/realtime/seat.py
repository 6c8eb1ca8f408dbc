"""A reader's place in a channel: where it is, and whether it gets messages as they come.

A reader (an `Outlet`) may sit in many channels. It is *live* in a channel while it keeps
up; otherwise it is behind, and reads on from its own position when there is room again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redpony.errors import RedponyError, Unavailable
from redpony.realtime.feed import Lost
from redpony.realtime.message import Entry
from redpony.realtime.policy import Slow
from redpony.realtime.position import Position

if TYPE_CHECKING:
    from redpony.realtime.feed import Feed
    from redpony.realtime.outlet import Outlet


AGAIN: Final = 0.1
"""Seconds until the history is asked for again, where the server was not there."""


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
        # As `_give`.
        self.position = entry.position or self.position
        exclude = entry.exclude
        if not exclude or exclude != outlet.id:
            outlet.put(self, entry)
        else:
            outlet.add_form(outlet.form_at(self))

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

    async def read_on(self) -> None:
        """Queue what the reader is to be given next; live again when that is all.

        Each thing is formed when it is queued, after all that is queued already: an id that
        says where the reader is in all of its channels says no more than it has been given.
        Raises what the server said.
        """
        feed, outlet = self.feed, self.outlet
        head = await feed.ready()
        if self.position is None:
            self.position = head
        if not self.told:
            self.told = True
            outlet.add_form(outlet.form_seated(self, head))
            outlet.seated(self)
        elif feed.history is None:
            outlet.add_form(outlet.form_skipped(self, feed.said - self.said))
        elif feed.channel.slow in (Slow.SKIP, Slow.LATEST):
            self._skip(head)
        if self.position != head:
            try:
                entries = await feed.read(self.position)
            except Unavailable as error:
                feed.hub.troubled(error)
                await asyncio.sleep(AGAIN)
                return  # it is behind still, and asks again
            except Lost as lost:
                # What came meanwhile is before this: it was not live.
                self.position = feed.head or head
                outlet.add_form(outlet.form_reset(self, self.position, str(lost)))
            else:
                if not entries:
                    self.position = head  # it began before there was anything
                for each in entries:
                    self._give(each)
        # No await from here on: nothing can come between.
        if feed.is_heard and self.position == feed.head and self.is_behind:
            self.is_behind = False
            feed.live[self] = None

    def _give(self, entry: Entry) -> None:
        self.position = entry.position or self.position
        exclude = entry.exclude
        if not exclude or exclude != self.outlet.id:
            self.outlet.put(self, entry)
        else:
            self.outlet.add_form(self.outlet.form_at(self))

    def _skip(self, head: Position) -> None:
        """Go to the head, and tell what the policy tells of it."""
        before, self.position = self.position, head
        outlet = self.outlet
        if before is None or before == head:
            return
        if before.epoch != head.epoch:
            why = "the channel has begun anew"
            outlet.add_form(outlet.form_reset(self, head, why))
            return
        newest = self.feed.newest
        latest = self.feed.channel.slow is Slow.LATEST
        if latest and newest is not None and newest.position == head:
            self.position = Position(head.epoch, head.offset - 1)
            outlet.add_form(outlet.form_at(self))
            self._give(newest)
        else:
            count = head.offset - before.offset
            outlet.add_form(outlet.form_skipped(self, count))

    def leave(self) -> None:
        """Sit here no more."""
        self.feed.live.pop(self, None)
        self.is_behind = False
