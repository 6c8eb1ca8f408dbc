"""Asking several servers at the same time, none of which may hold up the caller.

Where a connection is at hand, the command leaves on it in the caller's own thread, and
all leave before any answer is read. All else (a connection has to be opened, a command
repeated, a script sent whole) can take longer than the caller has: it is done in a
thread of its own, which is left behind when the time is over. In asyncio each is a task
that is cancelled then.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from redpony.commands import Command
from redpony.errors import RedponyError, Unavailable
from redpony.plan import Batch, Everywhere, Replies
from redpony.wire import outcomes
from redpony.wire.aside import in_thread
from redpony.wire.blocking import BlockingDriver
from redpony.wire.parallel import Sent

monotonic = time.monotonic


def ask_everywhere(effect: Everywhere) -> Replies:
    """Return what each server answers, blocking; errors are items."""
    lasts = effect.lasts
    expires = monotonic() + lasts
    answers = _Answers(len(effect.asks))
    flights: list[tuple[int, Sent]] = []
    try:
        for index, (link, command) in enumerate(effect.asks):
            driver, batch = link.blocking, Batch([command])
            if isinstance(driver, BlockingDriver):
                sent = Sent(driver, batch, expires)
                if sent.is_under_way:
                    flights.append((index, sent))
                    continue
            answers.later(index, link, _asking(driver, batch, lasts))
        for index, sent in flights:
            sent.collect()
            if sent.is_answered:
                answers.put(index, sent.land())
            else:
                answers.later(index, effect.asks[index][0], sent.land)
        items = answers.awaited(expires)
    finally:
        for _, sent in flights:
            sent.abandon()
    return Replies(
        [
            _silence(link.label, lasts) if item is None else item[0]
            for (link, _), item in zip(effect.asks, items, strict=True)
        ]
    )


def _asking(driver: Any, batch: Batch, lasts: float) -> Callable[[], Replies]:
    return lambda: driver.ask_all(batch, lasts)


class _Answers:
    """What has been answered so far, by several threads."""

    def __init__(self, count: int) -> None:
        self._items: list[Replies | None] = [None] * count
        self._missing = count
        self._changed = threading.Condition()

    def put(self, index: int, replies: Replies) -> None:
        with self._changed:
            self._items[index] = replies
            self._missing -= 1
            self._changed.notify()

    def later(self, index: int, link: Any, ask: Callable[[], Replies]) -> None:
        """Have a thread bring an answer."""

        def work() -> None:
            try:
                replies = ask()
            except RedponyError as error:
                replies = Replies([error])
            self.put(index, replies)

        in_thread(link, work)

    def awaited(self, expires: float) -> list[Replies | None]:
        """Return what there is when all is there, or the time is over."""
        with self._changed:
            while self._missing:
                left = expires - monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return list(self._items)


async def aask_everywhere(effect: Everywhere) -> Replies:
    """Return what each server answers, in asyncio; errors are items."""
    lasts = effect.lasts

    async def ask(link: Any, command: Command) -> Any:
        try:
            async with asyncio.timeout(lasts):
                return (await link.awaiting.ask_all(Batch([command]), lasts))[0]
        except TimeoutError as error:
            return (
                error
                if isinstance(error, RedponyError)
                else _silence(link.label, lasts)
            )
        except RedponyError as error:
            return error

    asks = [ask(link, command) for link, command in effect.asks]
    return Replies(list(await asyncio.gather(*asks)))


def _silence(label: str, lasts: float) -> Unavailable:
    return outcomes.overdue(label, lasts)
