"""One flight of a blocking driver in two halves: sent now, read later.

With several servers, all flights leave before the first answer is read, so the
servers work at the same time and the caller waits for the slowest, not for the sum.
Only the plain case is done in halves: an idle connection that takes the bytes. All
else (nothing idle, a breaker that is open, a transaction, a connection that breaks)
is the driver's own `ask_all`, when the answer is due.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from redpony.commands import Lane
from redpony.errors import NoScript, ProtocolError, RedponyError, Unavailable
from redpony.plan import Batch, Replies
from redpony.wire import outcomes
from redpony.wire.blocking import BlockingDriver
from redpony.wire.pool import Connection
from redpony.wire.replies import pack_all

monotonic = time.monotonic


class Sent:
    """A batch on its way to one server; `land` waits for its answers, once."""

    __slots__ = (
        "_batch",
        "_began",
        "_connection",
        "_driver",
        "_expires",
        "_failure",
        "_items",
        "_latest",
        "_payload",
        "_safe",
    )

    def __init__(
        self,
        driver: BlockingDriver,
        batch: Batch,
        expires: float,
        payload: bytes | None = None,
    ) -> None:
        """Send a batch; `payload` is the same packed, and many reads of one kind."""
        self._driver = driver
        self._batch = batch
        self._began = monotonic()
        self._expires = expires
        self._latest = max(expires, self._began + driver.config.connect_timeout)
        self._payload = payload
        self._connection: Connection | None = None
        self._failure: Unavailable | None = None
        self._items: list[Any] | None = None
        self._safe = payload is not None or outcomes.all_safe(batch.commands)
        if not batch.atomic and batch.commands[0].lane is not Lane.BLOCKING:
            self._leave()

    def _leave(self) -> None:
        driver, commands = self._driver, self._batch.commands
        if driver.is_blocked:
            return
        try:
            connection = driver.pool.idle.pop()
        except IndexError:
            return
        if driver.is_outdated(connection) or (not self._safe and connection.is_stale()):
            driver.pool.drop(connection)
            return
        payload = self._payload
        if payload is None:
            payload = pack_all(list(commands))
        try:
            connection.send(payload, self._expires)
        except BaseException as error:  # noqa: BLE001 (raised there, if not ours)
            self._failure = driver.failure(
                connection, error, commands[0], sent=len(commands) > 1, idle=True
            )
            return
        self._connection = connection

    @property
    def is_under_way(self) -> bool:
        """Whether it was sent, and its answers are still to be read."""
        return self._connection is not None

    @property
    def is_answered(self) -> bool:
        """Whether `land` has nothing left to do on the wire."""
        items = self._items
        return items is not None and not any(type(item) is NoScript for item in items)

    def collect(self) -> None:
        """Read the answers, if they are on their way, and let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        driver, commands = self._driver, self._batch.commands
        items: list[Any] = []
        count = len(commands)
        try:
            if self._payload is not None:
                items = connection.read_at_once(count, self._expires)
            else:
                connection.read_into(items, count, self._expires)
            wrong = driver.first_misfit(commands, items, connection)
            if wrong is not None:
                raise wrong
        except BaseException as error:  # noqa: BLE001 (raised there, if not ours)
            failure = driver.failure(
                connection, error, commands[0], sent=True, idle=True
            )
            if items and not isinstance(failure, ProtocolError):
                self._items = items + [failure] * (count - len(items))
            else:
                self._failure = failure
            return
        driver.pool.give_back(connection)
        driver.answered()
        self._items = items

    def land(self) -> Replies:
        """Return the answers; errors are items, as in `ask_all`."""
        self.collect()
        items = self._items
        if items is None:
            return self._again()
        if self._payload is None and any(type(item) is NoScript for item in items):
            self._send_sources(items)
        return Replies(items)

    def abandon(self) -> None:
        """Close the connection, if its answers were not read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._driver.pool.drop(connection)

    def _again(self) -> Replies:
        """Do it the driver's way, if it may be done at all, and there is time."""
        driver, commands = self._driver, self._batch.commands
        failure = self._failure
        if failure is not None:
            repeatable = outcomes.may_repeat(failure, safe=self._safe)
            if not repeatable or not driver.config.retries:
                return Replies([failure] * len(commands))
        now = monotonic()
        if now >= self._latest:
            # Others took it all, who had to open their connections one by one.
            late = outcomes.overdue(driver.label, now - self._began, sent=False)
            return Replies([failure or late] * len(commands))
        if failure is not None:
            outcomes.tell_retry(driver.label, commands, 2, failure)
        left = max(self._expires - now, 0.001)
        return driver.ask_all(self._batch, left, self._payload)

    def _send_sources(self, items: list[Any]) -> None:
        commands = self._batch.commands
        for index, item in enumerate(items):
            command = commands[index]
            if type(item) is NoScript and command.script is not None:
                left = max(self._expires - monotonic(), 0.001)
                try:
                    items[index] = self._driver.ask(command.within(left))
                except RedponyError as error:
                    items[index] = error


Ask = tuple[BlockingDriver, Batch, float, bytes | None]
"""What `Sent` takes: whom to ask, what, until when, and the same packed."""


def ask_each(asks: Iterable[Ask]) -> list[Replies]:
    """Ask several servers at once, and return what each answered.

    What is under way is read before anything else is done: whoever waits for a
    connection to one server must not hold one to another, which somebody else waits
    for who holds the first. After an interrupt no connection is held either.
    """
    flights: list[Sent] = []
    try:
        for ask in asks:
            flights.append(Sent(*ask))  # noqa: PERF401 (one by one: see below)
        for each in flights:
            each.collect()
        return [each.land() for each in flights]
    except BaseException:
        for each in flights:
            each.abandon()
        raise
