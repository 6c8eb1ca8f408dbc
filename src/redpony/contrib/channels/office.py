"""What a layer holds in one process, over all its event loops.

One lock guards it all: loops of several threads meet here. It is held for as long as
it takes to put a message into its boxes, and never over an await.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from redpony.contrib.channels.boxes import Box
from redpony.contrib.channels.messages import Message, Unpack
from redpony.contrib.channels.terms import Terms
from redpony.contrib.channels.topics import Group, Inbox, Queue, Topic

if TYPE_CHECKING:
    from redpony.contrib.channels.hub import Hub


HOLD: Final = 1.0
"""Seconds for which messages are held back at most, for the sake of order."""


class Office:
    """The boxes, the topics and the loops of one layer in this process."""

    def __init__(
        self,
        terms: Terms,
        read: Unpack,
        *,
        expiry: float,
        group_expiry: float,
        longest: int,
        capacity_of: Callable[[str], int],
    ) -> None:
        self.terms = terms
        self.read = read
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.longest = longest
        """How many messages the log of a group keeps: the largest capacity."""
        self.clock = time.monotonic
        self.lock = threading.RLock()
        self.identity = uuid.uuid4().hex
        """What the names of this process' channels have before the `!`."""
        self.boxes: dict[str, Box] = {}
        self.topics: dict[bytes, Topic] = {}
        self.hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
        self.unsaid: dict[Inbox, list[int]] = {}
        """What was received and lies on the server still."""
        self.deserted: list[Group] = []
        """Groups that the server believes this process to be in."""
        self.behind: set[Topic] = set()
        """Logs of which something was not heard, and is read now."""
        self.dropped = 0
        """Messages that a full or deserted channel has not got."""
        self._capacity_of = capacity_of
        self._capacities: dict[str, int] = {}

    # Names

    def is_own(self, channel: str) -> bool:
        """Whether a channel is one that this process alone reads."""
        head, mark, _ = channel.partition("!")
        return bool(mark) and head.endswith(self.identity)

    @property
    def member(self) -> str:
        """What this process is called in groups."""
        return f"{self.identity}!"

    def box(self, channel: str) -> Box:
        box = self.boxes.get(channel)
        if box is None:
            box = self.boxes[channel] = Box(channel, self._capacity_of(channel))
        return box

    def inbox(self, channel: str) -> Inbox:
        """Return the inbox of a channel of this process."""
        name = channel[: channel.index("!") + 1]
        names = self.terms.inbox(name)
        found = self.topics.get(names.channel)
        if found is None:
            found = self.topics[names.channel] = Inbox(self, name, names, 0)
        assert isinstance(found, Inbox)
        return found

    def group(self, name: str, position: int) -> Group:
        """Return a group; `position` is where it is followed from, if it was not."""
        names = self.terms.group(name)
        found = self.topics.get(names.channel)
        if found is None:
            found = self.topics[names.channel] = Group(self, name, names, position)
        assert isinstance(found, Group)
        return found

    def known_group(self, name: str) -> Group | None:
        found = self.topics.get(self.terms.group(name).channel)
        return found if isinstance(found, Group) else None

    def queue(self, name: str) -> Queue:
        names = self.terms.queue(name)
        found = self.topics.get(names.channel)
        if found is None:
            found = self.topics[names.channel] = Queue(self, name, names)
        assert isinstance(found, Queue)
        return found

    # Receiving

    def next(self, box: Box) -> Message | None:
        """Return the next message of a channel, or of all of an inbox (`name!`)."""
        now = self.clock()
        if self.behind and self.is_held(box):
            return None
        message, old = box.pop(now)
        if old or (message is None and box.name.endswith("!")):
            with self.lock:
                self.lose(box, old)
                if message is None and box.name.endswith("!"):
                    message = self._oldest(box.name, now)
        if message is not None and type(message.origin) is tuple:
            topic, number = message.origin
            if isinstance(topic, Inbox):
                self.received(topic, number)
        return message

    # One sender's messages to a consumer come in their order, whether to its channel or to
    # a group: so while one log is behind, what the others have brought is held back.

    def fall_behind(self, topic: Topic) -> None:
        if topic not in self.behind:
            topic.behind_until = self.clock() + HOLD
            self.behind.add(topic)

    def catch_up(self, topic: Topic) -> None:
        """Hold nothing back for a log any more: it has been read, or cannot be."""
        if topic not in self.behind:
            return
        self.behind.discard(topic)
        boxes = topic.members if isinstance(topic, Group) else list(self.boxes.values())
        for box in boxes:
            if box.items and box.waiters:
                box.wake()

    def is_held(self, box: Box) -> bool:
        """Whether messages of a channel are held back."""
        if "!" not in box.name:
            return False
        now = self.clock()
        topics = {*box.groups, self.inbox(box.name)} & self.behind
        return any(each.behind_until > now for each in topics)

    def has(self, box: Box) -> bool:
        """Whether there is a message for who receives on a channel."""
        if box.items or not box.name.endswith("!"):
            return bool(box.items)
        return any(
            each.items for name, each in self.boxes.items() if name.startswith(box.name)
        )

    def _oldest(self, inbox: str, now: float) -> Message | None:
        boxes = [
            each
            for name, each in self.boxes.items()
            if each.items and name.startswith(inbox)
        ]
        for box in sorted(boxes, key=lambda each: each.items[0].expires):
            message, old = box.pop(now)
            self.lose(box, old)
            if message is not None:
                return message
        return None

    def received(self, inbox: Inbox, number: int) -> None:
        with self.lock:
            self.unsaid.setdefault(inbox, []).append(number)

    def lose(self, box: Box, old: list[Message]) -> None:
        """Messages have got too old: whoever does not read is in no group any more."""
        if not old:
            return
        self.dropped += len(old)
        for group in list(box.groups):
            group.drop(box)
            self.abandoned(group)
        for message in old:
            if message.origin is not None and isinstance(message.origin[0], Inbox):
                self.received(*message.origin)

    def abandoned(self, group: Group) -> None:
        """Follow a group no more if none of ours is in it."""
        if group.members or group.joining:
            return
        self.topics.pop(group.names.channel, None)
        self.catch_up(group)
        for hub in list(group.hubs):
            hub.unwant(group)
        self.deserted.append(group)

    def let_go(self, box: Box) -> None:
        """Forget a channel with which nothing is lost."""
        if box.is_idle and self.boxes.get(box.name) is box:
            del self.boxes[box.name]

    def sweep(self) -> None:
        """Throw away what is too old, and what nobody has used for long."""
        now = self.clock()
        with self.lock:
            for box in list(self.boxes.values()):
                old = []
                while box.items and box.items[0].expires <= now:
                    old.append(box.items.popleft())
                self.lose(box, old)
                self.let_go(box)
            for topic in list(self.topics.values()):
                if isinstance(topic, Group):
                    over = [box for box, end in topic.until.items() if end <= now]
                    for box in over:
                        topic.drop(box)
                    self.abandoned(topic)
                elif isinstance(topic, Queue):
                    if topic.wanted() > 0:
                        topic.used = now
                    elif now - topic.used > self.expiry:
                        self.topics.pop(topic.names.channel, None)
                        for hub in list(topic.hubs):
                            hub.unwant(topic)

    def clear(self) -> None:
        """Forget all messages and all groups."""
        with self.lock:
            for box in list(self.boxes.values()):
                box.items.clear()
                for group in list(box.groups):
                    group.drop(box)
                    self.abandoned(group)
                self.let_go(box)
            self.unsaid.clear()
            self.deserted.clear()
            for topic in self.topics.values():
                if isinstance(topic, Inbox):
                    topic.pending.clear()

    def after_fork(self) -> None:
        """Be another process, with channels of its own."""
        self.lock = threading.RLock()
        self.identity = uuid.uuid4().hex
        self.boxes.clear()
        self.topics.clear()
        self.behind.clear()
        self.hubs.clear()
        self.unsaid = {}
        self.deserted = []
