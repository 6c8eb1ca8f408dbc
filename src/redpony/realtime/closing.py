"""The end of a server: browsers are told, and come back one after the other.

An ASGI server that is told to stop waits for its connections, and a stream has no end of
its own. So the signal that stops the server is kept back for a moment, in which each open
stream is sent a farewell (with a pause of its own before it reconnects, so that they do not
all come at once) and closed; then the server gets its signal. Servers that say so by ASGI's
lifespan are heard, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Generator
from types import FrameType
from typing import Any, Final

from redpony.realtime.connection import Connection, open_ones

PATIENCE: Final = 2.0
"""Seconds that the signal is kept back at most."""

STEP: Final = 0.02

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_before: dict[int, Any] = {}
_leaving: set[int] = set()


@contextlib.contextmanager
def seen(connection: Connection) -> Generator[None]:
    """Have a connection told of the end of its server."""
    _install(connection.loop)
    if _leaving:
        connection.end("bye")
    try:
        yield
    finally:
        open_ones.discard(connection)


def end_all() -> None:
    """Have every stream of the process take its leave."""
    for each in list(open_ones):
        with contextlib.suppress(RuntimeError):  # its loop is closed
            each.loop.call_soon_threadsafe(each.end, "bye")


async def lifespan(
    receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answer what a server says of its own life."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            end_all()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _install(loop: asyncio.AbstractEventLoop) -> None:
    """Stand before whoever handles the signals that end a server."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        current = signal.getsignal(number)
        if current is _signalled or current is None or current is signal.SIG_IGN:
            continue
        _before[number] = current
        signal.signal(number, _signalled)


def _signalled(number: int, frame: FrameType | None) -> None:
    """Keep a signal back until the streams have taken their leave."""
    if number in _leaving or not open_ones:
        _pass_on(number, frame)
        return
    _leaving.add(number)
    end_all()
    thread = threading.Thread(target=_wait, args=(number,), daemon=True)
    thread.start()


def _wait(number: int) -> None:
    pause = threading.Event()
    left = PATIENCE
    while len(open_ones) and left > 0:
        pause.wait(STEP)
        left -= STEP
    pause.wait(STEP)
    # In the main thread, as every signal.
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, number)


def _pass_on(number: int, frame: FrameType | None) -> None:
    before = _before.pop(number, signal.SIG_DFL)
    _leaving.discard(number)
    signal.signal(number, before)
    if callable(before):
        before(number, frame)
    else:
        signal.raise_signal(number)
