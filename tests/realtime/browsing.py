"""What a browser does, in asyncio: server-sent events and WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import websockets

from tests.realtime.process import Site

PATIENCE = 15.0


@dataclass
class Event:
    """A server-sent event, by the rules of the HTML standard."""

    type: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Browser:
    """An `EventSource`, but that it reconnects only when it is told to."""

    site: Site
    path: str
    cookies: str = ""
    last_id: str = ""
    retry: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(
            self.host, self.port or self.site.port, limit=2**22
        )
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.site.port}",
            "Accept: text/event-stream",
            "Accept-Encoding: gzip",
        ]
        if self.cookies:
            lines.append(f"Cookie: {self.cookies}")
        if self.last_id:
            lines.append(f"Last-Event-ID: {self.last_id}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        self._lines = self._read()

    async def _read(self) -> AsyncIterator[str]:
        chunked = self.headers.get("transfer-encoding") == "chunked"
        rest = b""
        while True:
            if chunked:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                if not size:
                    return
                data = await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            else:
                data = await self.reader.read(65536)
                if not data:
                    return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line.decode()

    async def events(self) -> AsyncIterator[Event]:
        """Return what is dispatched; ends where the stream does."""
        kind, data, last = "", [], self.last_id
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            async for line in self._lines:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line:
                    self.last_id = last
                    if data:
                        yield Event(kind or "message", "\n".join(data), last)
                    kind, data = "", []
                elif name == "event":
                    kind = value
                elif name == "data":
                    data.append(value)
                elif name == "id":
                    last = value
                elif name == "retry":
                    self.retry = int(value)

    async def take(self, count: int, patience: float = PATIENCE) -> list[Event]:
        """Return so many events."""
        found: list[Event] = []
        async with asyncio.timeout(patience):
            async for event in self.events():
                found.append(event)
                if len(found) == count:
                    break
        return found

    async def rest(self, patience: float = PATIENCE) -> list[Event]:
        """Return all events up to the stream's end."""
        async with asyncio.timeout(patience):
            return [event async for event in self.events()]

    async def body(self) -> str:
        return (await self.reader.read()).decode()

    async def settled(self) -> None:
        """Wait until it is told where it begins: from then on nothing is missed."""
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line.startswith("id:"):
                    self.last_id = line[3:].strip()
                    return

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Talk:
    """A WebSocket, as `realtime.js` has it."""

    def __init__(
        self, site: Site, path: str, cookies: str = "", origin: str | None = None
    ) -> None:
        headers = {"Cookie": cookies} if cookies else {}
        self._connecting = websockets.connect(
            f"ws://127.0.0.1:{site.port}{path}",
            additional_headers=headers,
            origin=origin,  # type: ignore[arg-type]
            max_size=None,
            open_timeout=PATIENCE,
        )
        self.code: int | None = None
        self._lines: list[Any] = []

    async def __aenter__(self) -> Self:
        self.socket = await self._connecting.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connecting.__aexit__(None, None, None)

    async def say(self, **said: Any) -> None:
        await self.socket.send(json.dumps(said))

    async def hear(self) -> Any:
        """Return the next line that says something; None at the end."""
        while not self._lines:
            try:
                async with asyncio.timeout(PATIENCE):
                    text = await self.socket.recv()
            except websockets.ConnectionClosed:
                self.code = self.socket.close_code
                return None
            self._lines = [each for each in map(json.loads, text.split("\n")) if each]
        return self._lines.pop(0)

    async def until(self, key: str) -> Any:
        """Return the next line that has a key."""
        while True:
            said = await self.hear()
            assert said is not None, f"closed ({self.code}) before {key!r}"
            if key in said:
                return said
