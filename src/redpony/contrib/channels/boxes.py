"""A consumer's messages in this process, and who waits for them.

Boxes belong to the layer, not to an event loop: a loop comes and goes with each
`async_to_sync`, and what one has fetched the next one receives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from redpony.contrib.channels.messages import Message

if TYPE_CHECKING:
    from redpony.contrib.channels.hub import Hub
    from redpony.contrib.channels.topics import Group

Waiter = asyncio.Future[None]


class Box:
    """One channel: its unread messages, the groups it is in, and who waits."""

    __slots__ = ("capacity", "groups", "hub", "items", "name", "waiters")

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.items: deque[Message] = deque()
        self.waiters: deque[Waiter] = deque()
        self.groups: set[Group] = set()
        self.hub: Hub | None = None
        """Who has seen to it that all that comes here is heard, in the last loop."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost with it."""
        return not (self.items or self.waiters or self.groups)

    def pop(self, now: float) -> tuple[Message | None, list[Message]]:
        """Return the first message that is not too old, and those that are."""
        items = self.items
        old: list[Message] = []
        while items:
            message = items.popleft()
            if message.expires > now:
                return message, old
            old.append(message)
        return None, old

    def insert(self, message: Message) -> None:
        """Put a message where it belongs: logs that are read later bring older ones."""
        items = self.items
        place = len(items)
        while place and items[place - 1].number > message.number:
            place -= 1
        items.insert(place, message)

    def wake(self, error: BaseException | None = None) -> bool:
        """Wake one who waits, in whatever loop; he looks for himself."""
        waiters = self.waiters
        while waiters:
            waiter = waiters.popleft()
            if waiter.done():
                continue
            loop = waiter.get_loop()
            if loop is _running():
                _settle(waiter, error)
                return True
            try:
                loop.call_soon_threadsafe(_settle, waiter, error)
            except RuntimeError:  # the loop is closed
                continue
            return True
        return False


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _settle(waiter: Waiter, error: BaseException | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
