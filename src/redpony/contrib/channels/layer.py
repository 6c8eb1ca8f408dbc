"""The channel layer: Channels' specification, at the speed of pub/sub.

A group's message is written and published once, whoever is in it, and each process hands
it to its own consumers. What is promised:

* Nothing is delivered twice. A message that a consumer cannot have because its channel is
  full, or because nobody has read it in time, is dropped and counted (`dropped`).
* What was sent before `receive()` is kept for `expiry` seconds on the server, and so is
  what was sent while a connection was lost: a process reads what it has not heard, up to
  the last `capacity` messages of a group. What the server itself loses is lost.
* Messages of one sender to one channel or group are received in their order.
* `send()` raises `ChannelFull` when `capacity` messages lie unread: in a channel that
  several processes may read, or in all channels of one process together, as the
  specification demands. The server counts, exactly, what has been sent and not yet been
  returned by `receive()`. Messages to groups do not count there: each consumer has room
  for `capacity` of them.
* `receive()` may be cancelled at any await, and loses nothing.
* A layer may be used by any number of event loops and threads, and of processes after a
  fork. Loops of `async_to_sync` that only send hold no connection for listening.
"""

from __future__ import annotations

import asyncio
import os
import uuid
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from channels.exceptions import ChannelFull

from redpony.commands import SCAN, UNLINK, Command
from redpony.contrib.channels import errands, options
from redpony.contrib.channels.groups import Groups
from redpony.contrib.channels.hub import logger
from redpony.contrib.channels.messages import Format
from redpony.contrib.channels.office import Office
from redpony.contrib.channels.receiving import arrival, is_listening, listen
from redpony.contrib.channels.terms import Terms

LONGEST: Final = 8 * 1024 * 1024
"""Bytes of a message; the specification asks for a million."""


class RedisChannelLayer(Groups):
    """A channel layer on an alias of `CACHES`."""

    extensions: ClassVar[list[str]] = ["groups", "flush"]
    ChannelFull = ChannelFull

    def __init__(
        self,
        hosts: Any = None,
        prefix: str = "asgi",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        symmetric_encryption_keys: Sequence[str | bytes] | None = None,
        *,
        using: str | None = None,
        serializer_format: str | None = None,
        max_message_bytes: int = LONGEST,
        **others: Any,
    ) -> None:
        options.check(others)
        super().__init__(
            expiry=options.positive("expiry", expiry),
            capacity=options.positive("capacity", capacity),
        )
        capacities: list[tuple[Any, int]] = self.compile_capacities(
            dict(channel_capacity or {})
        )
        self.channel_capacity: Any = capacities
        self.group_expiry = options.positive("group_expiry", group_expiry)
        self.prefix = options.text("prefix", prefix)
        self.alias = options.alias_of(using, hosts)
        self._driver = self.alias.link.awaiting
        self._format = Format(serializer_format, symmetric_encryption_keys)
        self._largest = options.positive("max_message_bytes", max_message_bytes)
        self._terms = Terms(self.alias, prefix, expiry, group_expiry)
        self._office = Office(
            self._terms,
            self.deserialize,
            expiry=expiry,
            group_expiry=group_expiry,
            longest=max([capacity, *(each for _, each in capacities)]),
            capacity_of=self.get_capacity,
        )
        self._boxes = self._office.boxes
        _layers.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.prefix!r} on {self.alias.link.label}>"

    @property
    def dropped(self) -> int:
        """How many messages this process has dropped: a channel was full, or not read."""
        return self._office.dropped

    def serialize(self, message: dict[str, Any]) -> bytes:
        """Return a message as it goes to the server; may be overridden."""
        return self._format.write(message)

    def deserialize(self, body: bytes) -> dict[str, Any]:
        """Return the message of what came from the server; may be overridden."""
        return self._format.read(body)

    # Channels

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to a channel. One round trip, atomic.

        Raises `ChannelFull` and `MessageTooLarge`.
        """
        body = self._written(message)
        self.require_valid_channel_name(channel)
        terms, capacity = self._terms, self.get_capacity(channel)
        if "!" not in channel:
            command = terms.put(terms.queue(channel), body, capacity)
        else:
            if self._office.is_own(channel):
                await self._settled()
            inbox, _, local = channel.partition("!")
            frame = b"d%b\0%b" % (local.encode(), body)
            command = terms.send(terms.inbox(f"{inbox}!"), frame, capacity)
        if not await self._driver.ask(command):
            raise ChannelFull(channel)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel, when there is one.

        No round trip where it has been pushed already. A name that ends in `!` receives
        for all channels of the process that begin with it.
        """
        box = self._boxes.get(channel)
        if box is not None and (not box.items or box.waiters):
            box = None
        while True:
            if box is None:
                box = self._boxes.get(channel)
                if box is None or not is_listening(box):
                    self.require_valid_channel_name(channel)
                    box = await listen(self._office, self.alias, channel)
                await arrival(self._office, box)
            message = self._office.next(box)
            if message is None:
                box = None
                continue
            if message.origin is not None:
                hub = self._office.hubs.get(asyncio.get_running_loop())
                if hub is not None:
                    hub.acknowledge()
            try:
                return message.take()
            except Exception:  # noqa: BLE001 (a user's serializer raises what it likes)
                logger.exception("A message of %s cannot be read", channel)
                self._office.dropped += 1
                box = None

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return the name of a new channel that this process alone reads."""
        return f"{prefix}.{self._office.identity}!{uuid.uuid4().hex}"

    # Flush, and the end

    async def flush(self) -> None:
        """Delete all messages and groups of this layer; other processes are told so.

        They forget what they hold as soon as they hear of it. Not atomic; a round trip
        for every thousand keys of the server, and more.
        """
        self._office.clear()
        for pattern in self._terms.everything():
            cursor = b"0"
            while True:
                words = (cursor, b"MATCH", pattern, b"COUNT", b"1000")
                cursor, found = await self._driver.ask(Command(SCAN, words))
                found = [each for each in found if self._terms.is_own(each)]
                if found:
                    await self._driver.ask(Command(UNLINK, tuple(found)))
                if cursor == b"0":
                    break
        note = self._terms.publish(self._terms.control, self._office.identity.encode())
        await self._driver.ask(note)
        self._office.clear()

    async def close(self) -> None:
        """Close this loop's connection for listening; it is opened again when needed."""
        hub = self._office.hubs.get(asyncio.get_running_loop())
        if hub is not None:
            await hub.settled()
            hub.close()

    close_pools = close

    def forget(self) -> None:
        """Be a new process' layer, after a fork: its channels are its parent's."""
        self._office.after_fork()

    # Inside

    async def _settled(self) -> None:
        """Return when the server knows what was received here: there is room again."""
        office = self._office
        hub = office.hubs.get(asyncio.get_running_loop())
        if hub is not None:
            await hub.settled()
        elif office.unsaid:
            await errands.run(office, self._driver)


_layers: weakref.WeakSet[RedisChannelLayer] = weakref.WeakSet()


def _after_fork() -> None:
    for layer in list(_layers):
        layer.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
