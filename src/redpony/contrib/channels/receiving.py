"""Waiting for a channel's message, in whatever loop."""

from __future__ import annotations

import asyncio

from redpony.alias import Alias
from redpony.contrib.channels.boxes import Box, Waiter
from redpony.contrib.channels.hub import Hub
from redpony.contrib.channels.office import HOLD, Office
from redpony.contrib.channels.topics import Queue


def is_listening(box: Box) -> bool:
    """Whether all that comes for a channel is heard in this loop."""
    hub = box.hub
    return (
        hub is not None and not hub.is_closed and hub.loop is asyncio.get_running_loop()
    )


async def listen(office: Office, alias: Alias, channel: str) -> Box:
    """Return a channel's box, with this loop listening for it."""
    if "!" in channel and not office.is_own(channel):
        raise ValueError(
            f"{channel!r} is a channel of another process, or of before a fork: "
            "receive() takes what this process' new_channel() returned"
        )
    loop = asyncio.get_running_loop()
    hub = office.hubs.get(loop)
    if hub is None:
        for each in list(office.hubs.values()):
            if each.loop.is_closed():
                each.close()
        hub = office.hubs[loop] = Hub(office, alias)
        await hub.start()
    with office.lock:
        box = office.box(channel)
        hub.attach(box)
    return box


async def arrival(office: Office, box: Box) -> None:
    """Return when there may be a message in a box."""
    loop = asyncio.get_running_loop()
    with office.lock:
        has = office.has(box)
        if has and not (office.behind and office.is_held(box)):
            return
        if has:
            loop.call_later(HOLD, box.wake)
        waiter: Waiter = loop.create_future()
        box.waiters.append(waiter)
    try:
        await waiter
    except BaseException:
        with office.lock:
            if waiter in box.waiters:
                box.waiters.remove(waiter)
            elif office.has(box):
                # It was woken, and leaves without a look.
                box.wake()
            topic = office.topics.get(office.terms.queue(box.name).channel)
            hub = office.hubs.get(loop)
            if isinstance(topic, Queue):
                topic.is_left = True
                if hub is not None and box.items:
                    hub.fetch(topic)
            office.let_go(box)
        raise
