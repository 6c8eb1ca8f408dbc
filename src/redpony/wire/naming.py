"""Names to addresses, with an end: `getaddrinfo` has no time-out of its own.

A name is looked up in a thread that may outlive its caller's patience. The last
good answer is kept: a resolver that is down for a moment must not take a cache
with it whose address it told us before.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import Any

from redpony.errors import Unreachable

Found = list[tuple[Any, ...]]

_last_good: dict[tuple[str, int], Found] = {}


def look_up(host: str, port: int, timeout: float) -> Found:
    """Return `getaddrinfo`'s entries for a host within `timeout` seconds."""
    if _is_literal(host):
        return _ask(host, port)
    box: list[Found | OSError] = []
    done = threading.Event()

    def deliver(answer: Found | OSError) -> None:
        box.append(answer)
        done.set()

    _start(host, port, deliver)
    done.wait(_patience(host, port, timeout))
    return _settle(host, port, box[0] if box else None)


async def alook_up(host: str, port: int, timeout: float) -> Found:
    """Return the same in asyncio, without blocking the loop.

    The loop's own executor would make the end of the loop wait for the resolver.
    """
    if _is_literal(host):
        return _ask(host, port)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Found | OSError] = loop.create_future()

    def deliver(answer: Found | OSError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(_set, future, answer)

    _start(host, port, deliver)
    await asyncio.wait([future], timeout=_patience(host, port, timeout))
    return _settle(host, port, future.result() if future.done() else None)


def _start(host: str, port: int, deliver: Callable[[Found | OSError], None]) -> None:
    """Look up in a thread of its own, which nobody waits for longer than he likes."""

    def work() -> None:
        answer: Found | OSError
        try:
            answer = _ask(host, port)
        except OSError as error:
            answer = error
        except UnicodeError as error:
            answer = OSError(f"no host has such a name: {error}")
        deliver(answer)

    threading.Thread(target=work, name="redpony-resolver", daemon=True).start()


def _patience(host: str, port: int, timeout: float) -> float:
    """Leave half of the time for connecting, where we know an address to try."""
    return timeout / 2 if (host, port) in _last_good else timeout


def _set(future: asyncio.Future[Found | OSError], answer: Found | OSError) -> None:
    if not future.done():
        future.set_result(answer)


def _ask(host: str, port: int) -> Found:
    # As bytes: for a text Python imports the IDNA codec, whose import lock a fork
    # at this moment would leave locked in the child for ever.
    name = host.encode() if host.isascii() else host
    return list(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _settle(host: str, port: int, answer: Found | OSError | None) -> Found:
    if isinstance(answer, list):
        _last_good[host, port] = answer
        return answer
    known = _last_good.get((host, port))
    if known is not None:
        return known
    why = "no answer in time" if answer is None else str(answer)
    raise Unreachable(
        f"The host name {host!r} of LOCATION was not found ({why})",
        outcome="not_sent",
    ) from answer
