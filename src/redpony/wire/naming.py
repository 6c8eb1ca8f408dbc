"""Names to addresses, with an end: `getaddrinfo` has no time-out of its own.

A name is looked up in a thread that may outlive its caller's patience. The last
good answer is kept: a resolver that is down for a moment must not take a cache
with it whose address it told us before.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from typing import Any

from redpony.errors import Unavailable

Found = list[tuple[Any, ...]]

_last_good: dict[tuple[str, int], Found] = {}


def look_up(host: str, port: int, timeout: float) -> Found:
    """Return `getaddrinfo`'s entries for a host within `timeout` seconds."""
    if _is_literal(host):
        return _ask(host, port)
    box: list[Found | OSError] = []
    done = threading.Event()

    def work() -> None:
        try:
            box.append(_ask(host, port))
        except OSError as error:
            box.append(error)
        done.set()

    threading.Thread(target=work, name="redpony-resolver", daemon=True).start()
    done.wait(timeout)
    return _settle(host, port, box[0] if box else None)


async def alook_up(host: str, port: int, timeout: float) -> Found:
    """Return the same in asyncio, without blocking the loop."""
    if _is_literal(host):
        return _ask(host, port)
    loop = asyncio.get_running_loop()
    answer: Found | OSError | None = None
    try:
        async with asyncio.timeout(timeout):
            answer = list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except TimeoutError:
        pass
    except OSError as error:
        answer = error
    return _settle(host, port, answer)


def _ask(host: str, port: int) -> Found:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


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
    raise Unavailable(
        f"The host name {host!r} of LOCATION was not found ({why})",
        outcome="not_sent",
    ) from answer
