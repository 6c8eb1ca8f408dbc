"""`python -m benchmarks.realtime.browsers NAME PORT COOKIE`: a crowd of browsers.

Raw asyncio protocols that note when bytes came; what they were is looked at afterwards.
It is told

    open COUNT PATIENCE [LAST]        connect, each coming back from LAST if that is said
    collect FIRST COUNT PATIENCE      wait for messages of these numbers, and judge them
    close

and answers each with a line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import uvloop

from benchmarks.realtime.children import listen, ready, report_line
from benchmarks.realtime.contestants import BY_NAME, PATH, Contestant
from benchmarks.servers import HOST

AT_ONCE = 100
IDLE = 3.0
"""Seconds without anything new after which nothing more is waited for."""

MESSAGE = re.compile(rb'"n": ?(\d+), ?"t": ?(\d+), ?"p"')
MARK = b'"n":'
ID = re.compile(rb'(?:^|\n)id: ?([^\r\n]+)\r?\n|"p":"(\d+-\d+)"')
PING = b"\x89\x04"

Seen = tuple[int, int, int]
"""A message's number, when it was published, and when it came."""


class Browser(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, mark: bytes, *, is_websocket: bool) -> None:
        self.chunks: list[tuple[int, bytes]] = []
        self.count = 0
        self.opened = asyncio.get_running_loop().create_future()
        self.is_lost = False
        self._request = request
        self._mark = mark
        self._is_websocket = is_websocket
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.chunks.append((time.monotonic_ns(), data))
        self.count += data.count(MARK)
        if not self.opened.done():
            self._look_whether_opened()
        if self._is_websocket and (at := data.find(PING)) >= 0:
            # A ping of four bytes; the pong has a mask of zeros.
            self._transport.write(b"\x8a\x84\0\0\0\0" + data[at + 2 : at + 6])

    def _look_whether_opened(self) -> None:
        head, rest, body = b"".join(each for _, each in self.chunks).partition(
            b"\r\n\r\n"
        )
        status = head[9:12]
        if rest and status not in (b"200", b"101"):
            self.opened.set_exception(ConnectionError(f"answered {status.decode()}"))
        elif rest and (self._mark in body or MARK in body):
            self.opened.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed"))

    def close(self) -> None:
        self._transport.abort()


def seen(chunks: Iterable[tuple[int, bytes]]) -> Iterator[Seen]:
    """Return the messages of one connection, in the order in which they came."""
    rest = b""
    for came, data in chunks:
        text, end = rest + data, 0
        for found in MESSAGE.finditer(text):
            yield int(found[1]), int(found[2]), came
            end = found.end()
        rest = text[end:][-64:]


def judge(all_seen: Sequence[Sequence[Seen]], first: int, count: int) -> dict[str, Any]:
    """Return what was delivered to a crowd, of messages from `first` on."""
    missing = doubled = disordered = delivered = 0
    last = 0
    taken: list[int] = []
    for each in all_seen:
        mine = [one for one in each if first <= one[0] < first + count]
        numbers = [number for number, _, _ in mine]
        once = set(numbers)
        missing += count - len(once)
        doubled += len(numbers) - len(once)
        disordered += sum(b < a for a, b in pairwise(numbers))
        delivered += len(once)
        taken += [came - published for _, published, came in mine]
        last = max([last, *(came for _, _, came in mine)])
    taken.sort()
    return {
        "delivered": delivered,
        "missing": missing,
        "doubled": doubled,
        "disordered": disordered,
        "last": last,
        "p50_ms": taken[len(taken) // 2] / 1e6 if taken else None,
        "p99_ms": taken[int(0.99 * len(taken))] / 1e6 if taken else None,
    }


class Crowd:
    """All browsers of one contestant."""

    def __init__(self, contestant: type[Contestant], port: int, cookie: str) -> None:
        self._contestant = contestant
        self._port = port
        self._cookie = cookie
        self._all: list[Browser] = []
        self._last = "-"

    def _request(self, last: str | None) -> bytes:
        headers, query = ("", "") if last is None else self._contestant.returning(last)
        if self._contestant.is_websocket:
            headers += (
                "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            )
        return (
            f"GET {PATH}{query} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\n"
            f"Cookie: {self._cookie}\r\n{headers}\r\n"
        ).encode()

    async def open(self, count: int, patience: float, last: str | None) -> Any:
        """Open connections until there are so many; all at once if they come back."""
        loop = asyncio.get_running_loop()
        request = self._request(last)
        mark = self._contestant.opened.encode()
        room = asyncio.Semaphore(AT_ONCE if last is None else count)
        began = time.monotonic_ns()

        async def one() -> None:
            async with room:
                made = Browser(
                    request, mark, is_websocket=self._contestant.is_websocket
                )
                self._all.append(made)
                await loop.create_connection(lambda: made, HOST, self._port)
                await made.opened

        wanted = count - len(self._all)
        try:
            async with asyncio.timeout(patience):
                await asyncio.gather(*(one() for _ in range(wanted)))
        except (OSError, TimeoutError) as error:
            return {"error": f"{type(error).__name__}: {error}", "open": self._open()}
        return {"began": began, "ended": time.monotonic_ns(), "open": self._open()}

    def _open(self) -> int:
        return sum(each.opened.done() and not each.is_lost for each in self._all)

    async def collect(self, first: int, count: int, patience: float) -> Any:
        """Wait for all messages, or until nothing comes any more; judge and forget."""
        end = time.monotonic() + patience
        before, since = -1, time.monotonic()
        while time.monotonic() < min(end, since + IDLE):
            here = sum(each.count for each in self._all)
            if all(each.count >= count for each in self._all):
                break
            if here != before:
                before, since = here, time.monotonic()
            await asyncio.sleep(0.02)
        found = judge([list(seen(each.chunks)) for each in self._all], first, count)
        found["last_id"] = self._last_id()
        found["lost"] = sum(each.is_lost for each in self._all)
        for each in self._all:
            each.chunks.clear()
            each.count = 0
        return found

    def _last_id(self) -> str:
        """Return where one of them is, as it would say on coming back."""
        for each in self._all:
            text = b"".join(data for _, data in each.chunks)
            found = ID.findall(text)
            if found:
                self._last = (found[-1][0] or found[-1][1]).decode()
                break
        return self._last

    async def close(self) -> Any:
        for each in self._all:
            each.close()
            if each.opened.done():
                each.opened.exception()
        self._all.clear()
        await asyncio.sleep(0.1)
        return {}


async def main(name: str, port: int, cookie: str) -> None:
    crowd = Crowd(BY_NAME[name], port, cookie)
    ready()
    while True:
        word, *said = await asyncio.to_thread(listen)
        if word == "open":
            last = said[2] if len(said) > 2 else None
            report_line(await crowd.open(int(said[0]), float(said[1]), last))
        elif word == "collect":
            first, count, patience = said
            report_line(await crowd.collect(int(first), int(count), float(patience)))
        else:
            report_line(await crowd.close())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
