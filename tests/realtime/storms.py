"""Readers and a publisher, while servers are hurt; and what must hold of it.

Each reader writes down what it was given. Of each channel it has to be every message, once
and in order, but that after an announced reset it goes on from wherever the channel is.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from redpony.errors import RedponyError
from redpony.realtime import Channel, Message, Position, subscribe

PATIENCE = 60.0


class Stormy(Channel):
    pattern = "stormy:{number:int}"


class Reader:
    """Somebody who reads all channels; with `restless`, who keeps coming back."""

    def __init__(self, channels: list[Channel], rng: random.Random, *, restless: bool):
        self.channels = channels
        self.told: dict[str, list[Any]] = {each.name: [] for each in channels}
        self.at: dict[str, Position] = {}
        self.comings = 0
        self._rng = rng
        self.is_restless = restless

    async def read(self) -> None:
        while True:
            self.comings += 1
            if self.is_restless:
                # One channel at a time: each has a position of its own.
                channel = self._rng.choice(self.channels)
                lasts = self._rng.uniform(0.2, 1.0)
                try:
                    async with asyncio.timeout(lasts):
                        await self._follow(channel)
                except TimeoutError:
                    continue
            else:
                await self._follow(*self.channels)

    async def _follow(self, *channels: Channel) -> None:
        since = self.at.get(channels[0].name) if len(channels) == 1 else None
        if since is None and self.is_restless:
            since = Position(0, 0)
        async with subscribe(*channels, since=since) as messages:
            self.is_there = True
            async for each in messages:
                self.told[each.channel].append(each)
                if each.position is not None:
                    self.at[each.channel] = each.position

    is_there = False


class Storm:
    """A run; `hurt` is called in a thread, and returns when it has done its worst."""

    def __init__(self, *, channels: int = 3, readers: int = 6, restless: int = 3):
        rng = random.Random(20261123)
        self.channels = [Stormy(number=number) for number in range(channels)]
        self.readers = [
            Reader(self.channels, rng, restless=False) for _ in range(readers)
        ]
        self.readers += [
            Reader(self.channels, rng, restless=True) for _ in range(restless)
        ]
        self.published = 0
        self.last: dict[str, Position | None] = {}
        """Where each channel was when all was published."""
        self.refused = 0
        self._over = threading.Event()

    def _publish(self, pace: float) -> None:
        number = 0
        while not self._over.is_set():
            for each in self.channels:
                self._surely(each, number)
            number += 1
            self.published = number
            time.sleep(pace)

    def _surely(self, channel: Channel, number: int) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                key = f"{number}"
                self.last[channel.name] = channel.publish(number, idempotency_key=key)
                return
            except RedponyError:
                self.refused += 1
                assert time.monotonic() < end
                time.sleep(0.02)

    async def run(self, hurt: Callable[[], Any], pace: float = 0.01) -> None:
        tasks = [asyncio.create_task(each.read()) for each in self.readers]
        await _until(lambda: all(each.is_there for each in self.readers))
        publisher = threading.Thread(target=self._publish, args=(pace,))
        publisher.start()
        try:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(hurt)
            await asyncio.sleep(0.5)
        finally:
            self._over.set()
            await asyncio.to_thread(publisher.join)
        try:
            await _until(self._all_have_come, tasks)
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _all_have_come(self) -> bool:
        return all(
            reader.at.get(channel.name) == self.last[channel.name]
            for reader in self.readers
            for channel in self.channels
        )

    # What must hold

    def breaches(self) -> list[str]:
        """Return what is missing, doubled or out of order without a word."""
        found = []
        for number, reader in enumerate(self.readers):
            for channel in self.channels:
                # Who comes when the channel has begun anew gets what it has since.
                first = reader.told[channel.name][0]
                anew = reader.is_restless and first.position.offset == 1
                expected: int | None = None if anew else 0
                for each in reader.told[channel.name]:
                    if not isinstance(each, Message):
                        expected = None
                    elif expected is not None and each.data != expected:
                        found.append(
                            f"reader {number} of {channel}: {each.data} at "
                            f"{each.position} in place of {expected}"
                        )
                        expected = each.data + 1
                    else:
                        expected = each.data + 1
        return found

    def counts(self) -> Counter[str]:
        told = [
            each
            for reader in self.readers
            for mine in reader.told.values()
            for each in mine
        ]
        shown = sum(isinstance(each, Message) for each in told)
        return Counter(
            published=self.published * len(self.channels),
            shown=shown,
            resets=len(told) - shown,
            refusals=self.refused,
            comings=sum(each.comings for each in self.readers),
        )


async def _until(
    is_so: Callable[[], bool], tasks: Sequence[asyncio.Task[None]] = ()
) -> None:
    """Wait until something is so; a task that ends has met an error."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        for each in tasks:
            if each.done():
                each.result()
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
