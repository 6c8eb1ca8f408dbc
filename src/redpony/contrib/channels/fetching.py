"""Reading what the server has kept: of a log what was not heard, of a queue its head.

A log is read by one at a time, whatever loops listen to it; who is cut short leaves it to
the others. Reading changes nothing on the server, so it is repeated until it succeeds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redpony.commands import Command
from redpony.contrib.channels.terms import PAGE, entries
from redpony.contrib.channels.topics import Group, Log, Queue, Topic
from redpony.errors import RedponyError, Unavailable

if TYPE_CHECKING:
    from redpony.contrib.channels.hub import Hub

AGAIN: Final = 0.1
"""Seconds until the server is asked again that could not be."""

AT_ONCE: Final = 64
"""How many logs are read at the same time."""


class Fetching:
    """One loop's reading."""

    def __init__(self, hub: Hub, driver: Any) -> None:
        self._hub = hub
        self._driver = driver
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, topic: Topic) -> None:
        is_done = False
        try:
            async with self._turns:
                while self._hub in topic.hubs and not is_done:
                    try:
                        if isinstance(topic, Log):
                            await self._read(topic)
                        elif isinstance(topic, Queue):
                            await self._take(topic)
                        is_done = True
                    except Unavailable:
                        with self._hub.office.lock:
                            self._hub.office.catch_up(topic)
                        await asyncio.sleep(AGAIN)
        except RedponyError as error:
            self._hub.fail(topic, error)
        finally:
            if not is_done:
                topic.is_fetching = False
                with self._hub.office.lock:
                    self._hub.office.catch_up(topic)
                for hub in topic.hubs - {self._hub}:
                    hub.fetch_soon(topic)

    async def _read(self, log: Log) -> None:
        office = self._hub.office
        while True:
            with office.lock:
                start = log.start()
            is_page = True
            while is_page:
                member = None
                if isinstance(log, Group) and log.members:
                    member = office.member
                reply = await self._ask(office.terms.since(log.names, start, member))
                found = entries(reply[1])
                with office.lock:
                    log.read(self._hub, found)
                    is_page = len(found) == PAGE
                    if is_page:
                        start = found[-1][0]
                    elif log.caught_up(self._hub, int(reply[0])) or not found:
                        log.is_fetching = False
                        office.catch_up(log)
                        return

    async def _take(self, queue: Queue) -> None:
        office = self._hub.office
        while True:
            queue.again = False
            with office.lock:
                count = queue.wanted()
            if count > 0:
                names = queue.names
                items = await self._ask(office.terms.take(names, count))
                with office.lock:
                    queue.took(items)
            else:
                items = []
            with office.lock:
                left = queue.left_over()
                if not left and not queue.again and len(items) < max(count, 1):
                    queue.is_fetching = False
                    return
            if left:
                await self._ask(office.terms.give_back(queue.names, left))

    async def _ask(self, command: Command) -> Any:
        return await self._driver.ask(command)
