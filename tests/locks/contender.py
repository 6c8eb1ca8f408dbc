"""A process that contends for locks, and writes down what it believes.

`python -m tests.locks.contender LOCATION FILE SEED SECONDS`. Two threads and two tasks
take locks of two names, over and over, some with a lease that is renewed, some with a
hard one, some with little patience, and some are cancelled. Each line of the file is
one event, written at once: a moment of the clock that all processes share, then

    want NAME WHO            somebody begins to wait
    enter NAME WHO FENCE     has the lock
    sure NAME WHO FENCE      has it still, surely
    leave NAME WHO FENCE     gives it back
    quit NAME WHO WHY        gives up waiting, or met an error
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
from typing import Any

LEASE = 1.0
NAMES = ("a", "b")


class Diary:
    """Appends lines to a file, each by one call of the system."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *words: Any, at: float | None = None) -> None:
        at = time.monotonic() if at is None else at
        line = " ".join(map(str, (f"{at:.6f}", os.getpid(), *words)))
        os.write(self._file, f"{line}\n".encode())


def options(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"lease": LEASE}
    if rng.random() < 0.3:
        found["timeout"] = rng.choice([0.3, 1.0])
    if rng.random() < 0.3:
        found["blocking_timeout"] = rng.choice([0.005, 0.05, 0.5])
    return found


def hold(rng: random.Random) -> float:
    return rng.choice([0, 0, 0.001, 0.005, 0.02, 0.3 if rng.random() < 0.1 else 0.01])


def sure(diary: Diary, held: Any, name: str, who: str) -> None:
    """Write down that the lock is held at a moment at which it surely is."""
    now = time.monotonic()
    if held.until > now and held.valid:
        diary.write("sure", name, who, held.fence, at=now)


def in_thread(diary: Diary, who: str, rng: random.Random, ends: float) -> None:
    from redis.exceptions import RedisError

    from redpony.locks import Lock

    while time.monotonic() < ends:
        name = rng.choice(NAMES)
        lock = Lock(name, **options(rng))
        diary.write("want", name, who)
        try:
            with lock as held:
                if not held.valid:
                    diary.write("late", name, who, held.fence)
                    continue
                diary.write("enter", name, who, held.fence)
                time.sleep(hold(rng))
                sure(diary, held, name, who)
            diary.write("leave", name, who, held.fence)
        except RedisError as error:
            diary.write("quit", name, who, type(error).__name__)
            time.sleep(0.01)


async def in_task(diary: Diary, who: str, rng: random.Random, ends: float) -> None:
    from redis.exceptions import RedisError

    from redpony.locks import Lock

    async def once(name: str) -> None:
        try:
            async with Lock(name, **options(rng)) as held:
                if not held.valid:
                    diary.write("late", name, who, held.fence)
                    return
                diary.write("enter", name, who, held.fence)
                await asyncio.sleep(hold(rng))
                sure(diary, held, name, who)
            diary.write("leave", name, who, held.fence)
        except RedisError as error:
            diary.write("quit", name, who, type(error).__name__)
            await asyncio.sleep(0.01)

    while time.monotonic() < ends:
        name = rng.choice(NAMES)
        diary.write("want", name, who)
        task = asyncio.create_task(once(name))
        if rng.random() < 0.2:
            await asyncio.sleep(rng.random() * 0.02)
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            diary.write("quit", name, who, "cancelled")


def main() -> None:
    location, path, seed, seconds = sys.argv[1:]
    from django.conf import settings

    backend = {"BACKEND": "redpony.cache.RedisCache", "LOCATION": location}
    settings.configure(CACHES={"default": backend}, SECRET_KEY="x" * 50)
    import django

    django.setup()
    diary = Diary(path)
    rng = random.Random(int(seed))
    ends = time.monotonic() + float(seconds)
    threads = [
        threading.Thread(
            target=in_thread, args=(diary, f"t{n}", random.Random(rng.random()), ends)
        )
        for n in range(2)
    ]
    for thread in threads:
        thread.start()

    async def tasks() -> None:
        await asyncio.gather(
            *(in_task(diary, f"c{n}", random.Random(rng.random()), ends) for n in "01")
        )

    asyncio.run(tasks())
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
