"""The private servers of a run: those of the tests, on loopback TCP.

They have more databases than usual, so that each alias can have one of its own,
and take more clients at once than a crowd of threads opens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import redis

from tests.servers import Server

HOST = "127.0.0.1"
SETTINGS = ("databases 64", "maxclients 2000", "tcp-backlog 1024")


class Measured(Server):
    """A server that tells about itself over one connection of its own."""

    @cached_property
    def control(self) -> redis.Redis:
        return self.client()

    @cached_property
    def version(self) -> str:
        """Return what the server calls itself, with its version."""
        info = self.control.info("server")
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']}"
        return f"Redis {info['redis_version']}"

    def stat(self, name: str) -> int:
        """Return one counter of `INFO stats`."""
        return int(self.control.info("stats")[name])


@contextmanager
def running(flavour: str = "valkey") -> Iterator[Measured]:
    """Start a server, and end it with the block."""
    with Measured(flavour, settings=SETTINGS) as server:
        yield server


@contextmanager
def crowded(flavour: str = "valkey") -> Iterator[Measured]:
    """Start a server that thousands connect to, which keeps nothing on disk."""
    settings = ("maxclients 15000", "tcp-backlog 1024")
    with Measured(flavour, settings=settings) as server:
        yield server
