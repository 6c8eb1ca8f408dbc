"""The extension "groups": a message is written and published once, whoever is in it.

Which channels of this process are in a group this process knows alone; the server knows
which processes have some. So joining a group in which the process is already changes
nothing on the server but times, and answers from where on messages are the channel's.

A channel of another process is added by writing to its inbox, and removed by a word in the
group's own log, where it has its place among the messages.
"""

from __future__ import annotations

from typing import Any

from channels.exceptions import MessageTooLarge
from channels.layers import BaseChannelLayer

from redpony.contrib.channels import errands
from redpony.contrib.channels.office import Office
from redpony.contrib.channels.terms import Terms
from redpony.plan import Batch


class Groups(BaseChannelLayer):  # type: ignore[misc]
    """What a layer does with groups."""

    MessageTooLarge = MessageTooLarge

    _driver: Any
    _largest: int
    _office: Office
    _terms: Terms

    def serialize(self, message: dict[str, Any]) -> bytes:
        raise NotImplementedError

    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel to a group, or renew its membership. One round trip.

        A channel of another process: two, and a message sent after that reaches it.
        """
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        office, terms = self._office, self._terms
        names = terms.group(group)
        if office.is_own(channel):
            await self._join(group, channel)
        elif "!" not in channel:
            await self._driver.ask(terms.join(names, channel))
        else:
            head = channel.partition("!")[0]
            last = await self._driver.ask(terms.join(names, _member(head)))
            frame = b"j%b\0%b\0%b" % (group.encode(), channel.encode(), last)
            await self._driver.ask(terms.send(terms.inbox(f"{head}!"), frame, -1))

    async def _join(self, name: str, channel: str) -> None:
        office = self._office
        with office.lock:
            group = office.group(name, 0)
            group.joining += 1
        try:
            last = int(
                await self._driver.ask(self._terms.join(group.names, office.member))
            )
            with office.lock:
                if not group.members:
                    group.position = max(group.position, last)
                group.add(office.box(channel), last)
                hubs = list(office.inbox(channel).hubs)
        finally:
            with office.lock:
                group.joining -= 1
                office.abandoned(group)
        for hub in hubs:
            hub.want(group)

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group, if it is in it. One round trip at most."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        office, terms = self._office, self._terms
        names = terms.group(group)
        if office.is_own(channel):
            with office.lock:
                found, box = office.known_group(group), office.boxes.get(channel)
                if found is None or box is None:
                    return
                found.drop(box)
                office.abandoned(found)
                office.let_go(box)
            if office.deserted:
                await errands.run(office, self._driver)
        elif "!" not in channel:
            await self._driver.ask(terms.leave(names, channel))
        else:
            frame = b"l" + channel.encode()
            await self._driver.ask(terms.group_send(names, frame, office.longest))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to a group. One round trip, atomic.

        Where channels are in it that several processes may read, another one. Raises
        `MessageTooLarge`, and never `ChannelFull`.
        """
        body = self._written(message)
        self.require_valid_group_name(group)
        terms = self._terms
        command = terms.group_send(
            terms.group(group), b"m" + body, self._office.longest
        )
        queues = [each.decode() for each in await self._driver.ask(command)]
        if queues:
            puts = [
                terms.put(terms.queue(each), body, self.get_capacity(each))
                for each in queues
            ]
            replies = (await self._driver.ask_all(Batch(puts))).check()
            self._office.dropped += replies.count(0)

    # Inside

    def _written(self, message: Any) -> bytes:
        if not isinstance(message, dict):
            raise TypeError(f"A message is a dict, and not a {type(message).__name__}")
        body = self.serialize(message)
        if len(body) > self._largest:
            raise MessageTooLarge(
                f"The message has {len(body)} bytes, and {self._largest} is the most: "
                "send less, or set max_message_bytes"
            )
        return body


def _member(head: str) -> str:
    """Return what a process is called in groups, of the first part of its channels."""
    return f"{head.rpartition('.')[2]}!"
