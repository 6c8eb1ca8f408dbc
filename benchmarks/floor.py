"""The floors: what the kernel, the server and Python cost, and nothing else.

`BareSocket` sends bytes that were made beforehand and receives until the answer
is complete; only `MGET` is parsed, because a list is of no use unparsed.
`BareProtocol` does the same in asyncio: requests of one turn of the loop leave
in one write, and a reader in C tells the answers apart. Neither has a deadline,
a pool, an encoding or an error path.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import hiredis

Operation = Callable[[], object]

_CHUNK = 262_144


def pack(*words: bytes | str) -> bytes:
    """Return a command as it goes over the wire."""
    return cast("bytes", hiredis.pack_command(words))


class BareSocket:
    """A blocking connection with nothing around it."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, answers: int = 1) -> list[Any]:
        """Send a request and return so many parsed answers; not for timing."""
        reader = hiredis.Reader()
        self._socket.sendall(request)
        found: list[Any] = []
        while len(found) < answers:
            reader.feed(self._socket.recv(_CHUNK))
            while (answer := reader.gets()) is not False:
                found.append(answer)
        return found

    def sized(self, request: bytes, size: int) -> Operation:
        """Return the round trip whose answer has a known number of bytes."""
        send, receive = self._socket.sendall, self._socket.recv

        def operation() -> object:
            send(request)
            data = receive(_CHUNK)
            if len(data) < size:
                parts, got = [data], len(data)
                while got < size:
                    parts.append(data := receive(_CHUNK))
                    got += len(data)
                return b"".join(parts)
            return data

        return operation

    def line(self, request: bytes) -> Operation:
        """Return the round trip whose answer is one line."""
        send, receive = self._socket.sendall, self._socket.recv

        def operation() -> object:
            send(request)
            data = receive(_CHUNK)
            while not data.endswith(b"\r\n"):
                data += receive(_CHUNK)
            return data

        return operation

    def parsed(self, request: bytes) -> Operation:
        """Return the round trip whose answer is taken apart by hiredis."""
        send, receive = self._socket.sendall, self._socket.recv
        reader = hiredis.Reader()
        feed, gets = reader.feed, reader.gets

        def operation() -> object:
            send(request)
            feed(receive(_CHUNK))
            while (answer := gets()) is False:
                feed(receive(_CHUNK))
            return answer

        return operation

    def close(self) -> None:
        self._socket.close()


class BareProtocol(asyncio.Protocol):
    """One connection of an event loop that pipelines.

    `eager` writes at once, which is right for one caller at a time; otherwise
    everything asked in one turn of the loop leaves together at its end.
    """

    def __init__(self, *, eager: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._eager = eager
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._out: list[bytes] = []
        self._reader = hiredis.Reader()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def ask(self, request: bytes) -> asyncio.Future[Any]:
        """Send a request; the future gets its answer."""
        future = self._loop.create_future()
        self._waiting.append(future)
        if self._eager:
            self._write([request])
        else:
            if not self._out:
                self._loop.call_soon(self._flush)
            self._out.append(request)
        return future

    def _flush(self) -> None:
        self._write(self._out)
        self._out = []

    def _write(self, requests: Iterable[bytes]) -> None:
        assert self._transport is not None
        self._transport.write(b"".join(requests))

    def data_received(self, data: bytes) -> None:
        gets, waiting = self._reader.gets, self._waiting
        self._reader.feed(data)
        while (answer := gets()) is not False:
            waiting.popleft().set_result(answer)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
