"""A process that would lead, and writes down what it believes.

`python -m tests.locks.candidate CONFIGURATION IDENTITY FILE COLOUR`; the lines are those
of `tests.locks.diary`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from tests.locks.children import configure
from tests.locks.diary import Diary

LEASE = 1.0
STEP = 0.02


def main() -> None:
    configuration, identity, path, colour = sys.argv[1:]
    configure(configuration)
    from redpony.locks import Leader

    diary = Diary(path)
    leader = Leader("scheduler", identity=identity, lease=LEASE)

    def enter(held: Any) -> None:
        diary.write("enter", "scheduler", identity, held.fence, 1)

    def leave(held: Any) -> None:
        diary.write("leave", "scheduler", identity, held.fence)

    def work(held: Any) -> None:
        enter(held)
        while not held.lost.wait(STEP):
            diary.surely(held, "sure", "scheduler", identity, held.fence)
        leave(held)

    async def awork(held: Any) -> None:
        enter(held)
        try:
            while True:
                await asyncio.sleep(STEP)
                diary.surely(held, "sure", "scheduler", identity, held.fence)
        finally:
            leave(held)

    diary.write("want", "scheduler", identity, at=time.monotonic())
    if colour == "sync":
        leader.run(work)
    else:
        asyncio.run(leader.arun(awork))


if __name__ == "__main__":
    main()
