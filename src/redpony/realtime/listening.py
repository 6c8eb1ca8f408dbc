"""Reading channels in a thread: a loop of the process' own does it for all of them.

    with OrderEvents(order_id=7).listen() as messages:
        for message in messages:
            ...

So threads share one subscription connection, too. The loop's thread is started by the first
reader, and stays; a forked child has one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

from redpony.conf import realtime_settings
from redpony.realtime.channel import Channel
from redpony.realtime.position import Position
from redpony.realtime.subscribing import Item, subscribe

R = TypeVar("R")
HELD: Final = 100
"""Messages that wait for a thread; the others wait in the history."""


@contextmanager
def listen(
    *channels: Channel | str,
    since: Position | str | None = None,
    timeout: float | None = None,
) -> Generator[Iterator[Item]]:
    """Read channels in a thread, from now on or from a position.

    As `subscribe`. `timeout` ends the iteration when so many seconds have passed without
    a message.
    """
    inbox: queue.Queue[Item | _End] = queue.Queue()
    loop = _loop()
    room = asyncio.Semaphore(HELD)
    pump = _begin(_pump(channels, since, inbox, room), loop)
    first = inbox.get()
    try:
        if isinstance(first, _End) and first.error is not None:
            raise first.error
        yield _items(inbox, timeout, partial(loop.call_soon_threadsafe, room.release))
    finally:
        pump.cancel()


@contextmanager
def listen_as(
    request: Any,
    channels: list[Channel],
    since: dict[str, Position],
    *,
    enveloped: bool,
) -> Generator[Iterator[bytes]]:
    """Read channels in a thread as a browser would, in server-sent events."""
    chunks: queue.Queue[bytes | None] = queue.Queue(HELD)
    pump = _begin(_stream(request, channels, since, chunks, enveloped), _loop())

    def come() -> Iterator[bytes]:
        while (chunk := chunks.get()) is not None:
            yield chunk

    try:
        yield come()
    finally:
        pump.cancel()


async def _stream(
    request: Any,
    channels: list[Channel],
    since: dict[str, Position],
    chunks: queue.Queue[bytes | None],
    enveloped: bool,
) -> None:
    from redpony.realtime.asking import session_of
    from redpony.realtime.control import watched
    from redpony.realtime.sse import Envelopes, Events

    user = getattr(request, "user", None)
    events: Envelopes | Events
    if enveloped:
        events = Envelopes(user, session_of(request))
    else:
        events = Events(user, session_of(request), len(channels))
    try:
        async with watched(channels):
            for each in channels:
                await events.take_seat(each, since.get(each.name))
            chunks.put_nowait(events.greeting())
            heartbeat = realtime_settings().heartbeat
            while (batch := await events.batch(heartbeat)) is not None:
                chunk = b"".join(batch) if batch else events.heartbeat
                while chunks.full():  # noqa: ASYNC110 (development alone)
                    await asyncio.sleep(0.05)
                chunks.put_nowait(chunk)
    finally:
        events.close()
        with contextlib.suppress(queue.Full):
            chunks.put_nowait(None)


class _End:
    """There is nothing more to come; also the sign that it has begun."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def _items(
    inbox: queue.Queue[Item | _End],
    timeout: float | None,
    taken: Callable[[], object],
) -> Iterator[Item]:
    while True:
        try:
            item = inbox.get(timeout=timeout)
        except queue.Empty:
            return
        taken()
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return
        yield item


async def _pump(
    channels: tuple[Channel | str, ...],
    since: Position | str | None,
    inbox: queue.Queue[Item | _End],
    room: asyncio.Semaphore,
) -> None:
    try:
        async with subscribe(*channels, since=since) as messages:
            inbox.put(_End())
            async for item in messages:
                await room.acquire()
                inbox.put(item)
        inbox.put(_End())
    except Exception as error:  # noqa: BLE001 (it is raised in the thread that reads)
        inbox.put(_End(error))


_running: asyncio.AbstractEventLoop | None = None
_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """Return the process' loop for threads that read."""
    global _running
    with _starting:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(
                target=_running.run_forever, name="redpony realtime", daemon=True
            ).start()
        return _running


def _begin(work: Coroutine[Any, Any, R], loop: asyncio.AbstractEventLoop) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop)


def close() -> None:
    """End the loop, if there is one: for the end of a test or a process."""
    global _running
    with _starting:
        loop, _running = _running, None
    if loop is not None:
        asyncio.run_coroutine_threadsafe(_finish(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)


async def _finish() -> None:
    me = asyncio.current_task()
    others = [each for each in asyncio.all_tasks() if each is not me]
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _after_fork() -> None:
    global _running, _starting
    _running, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
