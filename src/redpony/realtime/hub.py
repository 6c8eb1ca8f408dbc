"""All channels of one event loop on one alias: who listens to what, and hears it.

One subscription connection a server and loop, whatever the number of channels and readers.
A channel that nobody reads any more is listened to for a while: who reconnects finds its
last messages in memory.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Any, Final

from redpony.alias import Alias
from redpony.commands import Command
from redpony.errors import RedponyError
from redpony.realtime.attendance import Attendance
from redpony.realtime.channel import Channel
from redpony.realtime.feed import Feed
from redpony.wire.config import Cluster
from redpony.wire.push.subscriptions import Subscriptions

logger = logging.getLogger("redpony.realtime")

LINGERS: Final = 5.0
"""Seconds that a channel is listened to after its last reader has left."""

_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Hub]] = (
    weakref.WeakKeyDictionary()
)


def hub_for(alias: Alias) -> Hub:
    """Return the running loop's hub for an alias."""
    mine = _hubs.setdefault(asyncio.get_running_loop(), {})
    hub = mine.get(id(alias))
    if hub is None:
        hub = mine[id(alias)] = Hub(alias)
    return hub


def hubs() -> list[Hub]:
    """Return those of the running loop."""
    return list(_hubs.get(asyncio.get_running_loop(), {}).values())


class Hub:
    """What one event loop hears on one alias."""

    def __init__(self, alias: Alias) -> None:
        self.alias = alias
        self.loop = asyncio.get_running_loop()
        self.feeds: dict[bytes, Feed] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._troubled = ""
        self.attendance = Attendance(self)
        self.subscriptions = Subscriptions(
            alias.link,
            self,
            sharded=isinstance(alias.config.topology, Cluster),
        )

    async def ask(self, command: Command) -> Any:
        """Ask the primary: a replica may not know of what was just said."""
        link = self.alias.link
        if self.alias.routes:
            link.wrote()  # type: ignore[union-attr]
        return await link.awaiting.ask(command)

    def stands(self) -> dict[str, Any]:
        """Return what is known of it, for whoever looks after it."""
        return {
            "alias": self.alias.name,
            "connections": self.subscriptions.connections,
            "channels": [each.stands() for each in self.feeds.values()],
        }

    # Readers

    def join(self, channel: Channel) -> Feed:
        """Return a channel's feed, for one more reader."""
        name = channel.keys.stream
        feed = self.feeds.get(name)
        if feed is None:
            feed = self.feeds[name] = Feed(self, channel)
            self.subscriptions.add(name)
        feed.users += 1
        return feed

    def left(self, feed: Feed) -> None:
        """A reader has left."""
        feed.users -= 1
        if not feed.users:
            self.loop.call_later(LINGERS, self._drop, feed)

    def _drop(self, feed: Feed) -> None:
        name = feed.keys.stream
        if not feed.users and self.feeds.get(name) is feed:
            del self.feeds[name]
            self.subscriptions.remove(name)
            feed.close()

    def lose(self, feed: Feed) -> None:
        """The connection of a channel has kept silent."""
        self.subscriptions.lose(feed.keys.stream)

    def troubled(self, error: RedponyError) -> None:
        """Tell once that something does not work, until it does."""
        if not self._troubled:
            logger.warning(
                "Messages are late: %s. They are read from the history when the server "
                "is back.",
                error,
            )
        self._troubled = str(error)

    # What subscriptions tell

    def message(self, name: bytes, payload: bytes, pattern: bytes | None) -> None:
        feed = self.feeds.get(name)
        if feed is not None:
            feed.message(payload)

    def heard(self, name: bytes) -> None:
        if self._troubled:
            logger.info("Messages come in again")
            self._troubled = ""
        feed = self.feeds.get(name)
        if feed is not None:
            feed.heard()

    def unheard(self, names: list[bytes], error: RedponyError) -> None:
        self.troubled(error)
        for name in names:
            feed = self.feeds.get(name)
            if feed is not None:
                feed.unheard()

    def failed(self, name: bytes, error: RedponyError) -> None:
        feed = self.feeds.get(name)
        if feed is not None:
            logger.error("Nobody can read the channel %s: %s", feed.name, error)
            feed.failed(error)
