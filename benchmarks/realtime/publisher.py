"""`python -m benchmarks.realtime.publisher NAME PORT`: publishes numbered messages.

Told `FIRST COUNT RATE`, it publishes so many, at so many a second (0: one after the
other), and says when it began and ended, and how many microseconds each took.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from benchmarks.realtime.children import listen, ready, report_line
from benchmarks.realtime.contestants import BY_NAME, Publish
from benchmarks.realtime.site import configure

PADDING = "x" * 160


async def publish(send: Publish, first: int, count: int, rate: float) -> None:
    began = time.monotonic_ns()
    taken = 0
    for number in range(count):
        if rate:
            due = began / 1e9 + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic_ns()
        await send({"n": first + number, "t": now, "p": PADDING})
        taken += time.monotonic_ns() - now
    ended = time.monotonic_ns()
    report_line({"began": began, "ended": ended, "each_us": taken / 1000 / count})


async def main(name: str, port: int) -> None:
    contestant = BY_NAME[name](port)
    configure(contestant, ":memory:")
    send = contestant.publisher()
    ready()
    while True:
        first, count, rate = await asyncio.to_thread(listen)
        await publish(send, int(first), int(count), float(rate))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
