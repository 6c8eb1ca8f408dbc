"""A link as the wire's tests use it: one body for both colours."""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from redpony.commands import Access, Command, Kind, Repeat
from redpony.errors import RedponyError
from redpony.plan import Batch, Plan, Replies, Wait
from redpony.wire.config import LinkConfig
from redpony.wire.link import Link
from tests.colours import Colour

READ = Kind("READ", Access.READ, Repeat.SAFE, None)
"""A read whose reply may be anything."""

WRITE = Kind("WRITE", Access.WRITE, Repeat.NEVER, None)
"""A mutation whose reply may be anything."""

INCR = Kind("INCR", Access.WRITE, Repeat.NEVER, slice(0, 1), (int,))
CLIENT_ID = Kind("CLIENT ID", Access.READ, Repeat.SAFE, None, (int,))
CLIENT_GETNAME = Kind("CLIENT GETNAME", Access.READ, Repeat.SAFE, None)
HELD = Kind("BLPOP", Access.WRITE, Repeat.NEVER, slice(0, -1), (list, type(None)))
"""A command that keeps a connection of the pool busy for as long as one likes."""
DEBUG_SLEEP = Kind("DEBUG SLEEP", Access.READ, Repeat.SAFE, None)


def one(command: Command) -> Plan[Any]:
    reply = yield command
    return reply


def several(batch: Batch) -> Plan[Replies]:
    replies: Replies = yield batch
    return replies


def waiting(command: Command, timeout: float | None) -> Plan[Any]:
    reply = yield Wait(command, timeout)
    return reply


class Wire:
    """A link, and the colour in which it is asked."""

    def __init__(self, link: Link, colour: Colour) -> None:
        self.link = link
        self.colour = colour

    @classmethod
    def to(cls, colour: Colour, **config: Any) -> Self:
        return cls(Link(LinkConfig(**config)), colour)

    def run(self, plan: Plan[Any]) -> Any:
        if self.colour.is_async:
            return self.colour.run(self.link.arun(plan))
        return self.link.run(plan)

    def ask(self, command: Command) -> Any:
        return self.run(one(command))

    def ask_all(self, *commands: Command, **how: Any) -> Any:
        return self.run(several(Batch(commands, **how)))

    def wait(self, command: Command, timeout: float | None) -> Any:
        return self.run(waiting(command, timeout))

    def meet(self, command: Command) -> Any:
        """Return the reply, or the error in its place."""
        try:
            return self.ask(command)
        except RedponyError as error:
            return error

    def meet_while(self, command: Command, action: Callable[[], object]) -> Any:
        """Return what a command meets while another thread acts."""
        failed: list[BaseException] = []

        def act() -> None:
            try:
                action()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        met = self.meet(command)
        thread.join()
        if failed:
            raise failed[0]
        return met

    @property
    def connections(self) -> list[Any]:
        """Return the connections that exist, whatever their colour."""
        if self.colour.is_async:
            places = self.link.awaiting.loops.places._alive
        else:
            places = self.link.blocking.pool._alive
        return [each for place in list(places) if (each := place()) is not None]

    @property
    def opened(self) -> int:
        return len(self.connections)

    @property
    def socket(self) -> socket.socket:
        """Return the socket of the one connection that there is."""
        (connection,) = self.connections
        return socket_of(connection)

    def close(self) -> None:
        self.link.close()
        if self.colour.is_async:
            self.colour.run(self._close_connections())

    async def _close_connections(self) -> None:
        for state in list(self.link.awaiting.loops.by_loop.values()):
            state.close()


def socket_of(connection: Any) -> socket.socket:
    sock = getattr(connection, "sock", None) or connection.stream._socket
    assert isinstance(sock, socket.socket)
    return sock


def unread(sock: socket.socket) -> int:
    """Return how many bytes wait in a socket."""
    count = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, count)
    return count[0]


def waiting_at(port: int) -> int:
    """Return how many bytes wait for whoever serves a port on the loopback."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":
            total += int(fields[4].rpartition(":")[2], 16)
    return total


def until(condition: Callable[[], Any], timeout: float = 10) -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} did not come true in {timeout} s")
        time.sleep(0.001)
    return found


async def auntil(condition: Callable[[], Any], timeout: float = 10) -> Any:
    """Wait until something holds, and let the loop go on meanwhile."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} did not come true in {timeout} s")
        await asyncio.sleep(0.001)
    return found
