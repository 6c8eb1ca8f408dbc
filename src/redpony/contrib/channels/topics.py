"""What a process listens to: its inbox, the groups it is in, the queues it reads.

A log (of an inbox or a group) is followed by numbers. What is pushed names the message
before it: if that is the last one that was heard, it is the next, and otherwise the log
on the server is read from there on. So a push that was lost costs a look, and no message,
as long as the server has it; and whoever hears the same from two loops takes it once.

All of it is done under the office's lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from redpony.contrib.channels.boxes import Box
from redpony.contrib.channels.messages import Message
from redpony.contrib.channels.terms import Names

if TYPE_CHECKING:
    from redpony.contrib.channels.hub import Hub
    from redpony.contrib.channels.office import Office


class Topic(ABC):
    """Something to listen to."""

    def __init__(self, office: Office, name: str, names: Names) -> None:
        self.office = office
        self.name = name
        self.names = names
        self.hubs: set[Hub] = set()
        """Who listens, in which loop."""
        self.is_fetching = False
        self.behind_until = 0.0
        """Until when what other logs have brought is held back; see `Office`."""

    @abstractmethod
    def told(self, hub: Hub, payload: bytes) -> None:
        """Take in what was published."""


class Log(Topic):
    """Messages with numbers."""

    def __init__(self, office: Office, name: str, names: Names, position: int) -> None:
        super().__init__(office, name, names)
        self.position = position
        """The number of the last message that was heard."""
        self.latest = position
        self.pending: deque[tuple[int, bytes]] = deque(maxlen=office.longest)
        """What was pushed while the log is read."""

    def told(self, hub: Hub, payload: bytes) -> None:
        before, number_, frame = payload.split(b" ", 2)
        number = int(number_)
        with self.office.lock:
            if number <= self.position:
                return
            if not self.is_fetching and int(before) == self.position:
                self.position = number
                self.deliver(hub, number, frame, is_new=True)
                return
            self.latest = max(self.latest, number)
            self.pending.append((number, frame))
            self.office.fall_behind(self)
        hub.fetch(self)

    def start(self) -> int:
        """Return the number after which the log has to be read."""
        return self.position

    def read(self, hub: Hub, found: list[tuple[int, bytes]]) -> None:
        """Take in a page of the log."""
        for number, frame in found:
            is_new = number > self.position
            if is_new:
                self.position = number
            self.deliver(hub, number, frame, is_new=is_new)

    def caught_up(self, hub: Hub, last: int) -> bool:
        """Take in what was pushed meanwhile; return whether that is all there is."""
        waiting = [each for each in self.pending if each[0] > self.position]
        self.pending.clear()
        self.read(hub, waiting)
        # The server may have lost some of it, and even the numbers.
        if last > self.position or not waiting:
            self.position = last or self.position
        done = self.position >= self.latest
        self.latest = self.position
        return done

    @abstractmethod
    def deliver(self, hub: Hub, number: int, frame: bytes, *, is_new: bool) -> None:
        """Put a message where it belongs."""


class Inbox(Log):
    """What is sent to the channels of this process, and what it is told."""

    def deliver(self, hub: Hub, number: int, frame: bytes, *, is_new: bool) -> None:
        if not is_new:
            return
        office = self.office
        if frame.startswith(b"d"):
            local, _, body = frame[1:].partition(b"\0")
            box = office.box(self.name + local.decode())
            expires = office.clock() + office.expiry
            origin = (self, number)
            box.insert(Message(body, office.read, expires, number, origin))
            if not box.wake() and self.name in office.boxes:
                office.boxes[self.name].wake()
            return
        group, channel, joined = frame[1:].decode().split("\0")
        office.received(self, number)
        hub.acknowledge()
        topic = office.group(group, int(joined))
        if int(joined) < topic.position:
            topic.late[office.box(channel)] = int(joined)
        topic.add(office.box(channel), int(joined))
        hub.want(topic)
        if topic.late:
            hub.fetch(topic)


class Group(Log):
    """What is sent to a group, and which of this process' channels are in it."""

    def __init__(self, office: Office, name: str, names: Names, position: int) -> None:
        super().__init__(office, name, names, position)
        self.members: dict[Box, int] = {}
        """Each with the number of the last message before it joined."""
        self.until: dict[Box, float] = {}
        self.late: dict[Box, int] = {}
        """Who joined, as another process had it, before what was heard already."""
        self.joining = 0

    def start(self) -> int:
        return min((self.position, *self.late.values()))

    def caught_up(self, hub: Hub, last: int) -> bool:
        self.late.clear()
        return super().caught_up(hub, last)

    def add(self, box: Box, joined: int) -> None:
        """Make a channel a member, or renew its membership."""
        self.members.setdefault(box, joined)
        self.until[box] = self.office.clock() + self.office.group_expiry
        box.groups.add(self)

    def drop(self, box: Box) -> None:
        self.members.pop(box, None)
        self.until.pop(box, None)
        self.late.pop(box, None)
        box.groups.discard(self)

    def deliver(self, hub: Hub, number: int, frame: bytes, *, is_new: bool) -> None:
        office = self.office
        if not frame.startswith(b"m"):
            box = office.boxes.get(frame[1:].decode())
            if box is not None and self.members.get(box, number) < number:
                self.drop(box)
                office.abandoned(self)
            return
        expires = office.clock() + office.expiry
        message = Message(frame[1:], office.read, expires, number)
        if not is_new:
            for box, joined in self.late.items():
                if number > joined:
                    self._put(box, message)
        elif office.behind:
            # Another log may have brought later ones already.
            for box, joined in self.members.items():
                if number > joined:
                    self._put(box, message)
        else:
            for box, joined in self.members.items():
                if number > joined:
                    items = box.items
                    if len(items) < box.capacity:
                        items.append(message)
                        if box.waiters:
                            box.wake()
                    else:
                        self._put(box, message)

    def _put(self, box: Box, message: Message) -> None:
        office = self.office
        now = office.clock()
        while box.items and box.items[0].expires <= now:
            office.lose(box, [box.items.popleft()])
        if len(box.items) < box.capacity:
            box.insert(message)
            box.wake()
        else:
            office.dropped += 1


class Queue(Topic):
    """A channel that several processes may read; a push says that there is something."""

    def __init__(self, office: Office, name: str, names: Names) -> None:
        super().__init__(office, name, names)
        self.again = False
        self.is_left = False
        """Whether somebody has ceased to wait: for what is there, perhaps."""
        self.used = office.clock()
        """When somebody waited last."""

    def told(self, hub: Hub, payload: bytes) -> None:
        hub.fetch(self)

    def wanted(self) -> int:
        """Return how many messages have somebody who waits for them."""
        box = self.office.boxes.get(self.name)
        if box is None:
            return 0
        return sum(not each.done() for each in box.waiters) - len(box.items)

    def took(self, items: list[bytes]) -> None:
        office = self.office
        box = office.box(self.name)
        expires = office.clock() + office.expiry
        for item in items:
            body = item.partition(b" ")[2]
            origin = (self, item)
            box.items.append(Message(body, office.read, expires, 0, origin))
            box.wake()

    def left_over(self) -> list[bytes]:
        """Return what was taken and nobody waits for any more; it is gone from here."""
        box = self.office.boxes.get(self.name)
        is_left, self.is_left = self.is_left, False
        if box is None or box.waiters or not is_left:
            return []
        found = [each.origin[1] for each in box.items]
        box.items.clear()
        return found
