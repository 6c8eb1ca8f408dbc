"""One process of a fleet: reads and writes the shared keys as it is told.

`python -m tests.migration.pod` gets a JSON object on its command line: `caches`
(the setting) and `population`. It then obeys one JSON list a line, `[order,
argument]`, and answers each with one line:

* `["write", generation]`: write every key.
* `["read", generation]`: read every key, singly and at once; answer what is wrong.
* `["load", null]`: go on reading, writing and counting until told to stop.
* `["progress", null]`: answer how much the load has done.
* `["stop", null]`: end the load; answer what it did and what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.core.cache import caches

from tests.migration.population import (
    COUNTER,
    GENERATIONS,
    POPULATIONS,
    TIMEOUT,
    same,
)

MISSING = object()


class Pod:
    """What the process does to the cache."""

    def __init__(self, population: str) -> None:
        self.values: Callable[[int], dict[str, Any]] = POPULATIONS[population]
        self.right = {
            key: [self.values(generation)[key] for generation in GENERATIONS]
            for key in self.values(0)
        }
        self.running = False
        self.threads: list[threading.Thread] = []
        self.done = 0
        self.counted = 0
        self.wrong: list[str] = []

    def write(self, generation: int) -> list[str]:
        """Write all keys, half of them by `set`, half by `set_many`."""
        cache: Any = caches["default"]
        items = list(self.values(generation).items())
        for key, value in items[::2]:
            cache.set(key, value, TIMEOUT)
        cache.set_many(dict(items[1::2]), TIMEOUT)
        return []

    def read(self, generation: int) -> list[str]:
        """Return what is missing, raises or differs, a line each."""
        cache: Any = caches["default"]
        wrong = []
        expected = self.values(generation)
        for key, value in expected.items():
            try:
                found = cache.get(key, MISSING)
            except Exception as error:
                wrong.append(f"get {key}: {type(error).__name__}: {error}")
            else:
                wrong += _judge(f"get {key}", found, [value])
        try:
            many = cache.get_many(expected)
        except Exception as error:
            return [*wrong, f"get_many: {type(error).__name__}: {error}"]
        for key, value in expected.items():
            wrong += _judge(f"get_many {key}", many.get(key, MISSING), [value])
        return wrong

    def load(self, _: Any) -> list[str]:
        """Start a thread that calls, and one with an event loop."""
        self.running = True
        self.done = self.counted = 0
        self.wrong = []
        for work in (self._work, lambda: asyncio.run(self._awork())):
            thread = threading.Thread(target=work)
            thread.start()
            self.threads.append(thread)
        return []

    def progress(self, _: Any) -> int:
        return self.done

    def stop(self, _: Any) -> dict[str, Any]:
        """End the load; return what it did."""
        self.running = False
        for thread in self.threads:
            thread.join()
        self.threads.clear()
        return {"done": self.done, "counted": self.counted, "wrong": self.wrong}

    def _work(self) -> None:
        cache: Any = caches["default"]
        while self.running:
            self.done += 1
            generation = random.choice(GENERATIONS)
            try:
                match random.randrange(8):
                    case 0:
                        key = random.choice(list(self.right))
                        cache.set(key, self.values(generation)[key], TIMEOUT)
                    case 1:
                        cache.set_many(self.values(generation), TIMEOUT)
                    case 2:
                        self._judge_many(cache.get_many(self.right))
                    case 3:
                        cache.incr(COUNTER)
                        self.counted += 1
                    case 4:
                        key = random.choice(list(self.right))
                        if not cache.touch(key, TIMEOUT):
                            self.wrong.append(f"touch {key}: missing")
                    case _:
                        key = random.choice(list(self.right))
                        self._judge_one(key, cache.get(key, MISSING))
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    async def _awork(self) -> None:
        cache: Any = caches["default"]
        while self.running:
            self.done += 1
            key = random.choice(list(self.right))
            generation = random.choice(GENERATIONS)
            try:
                if random.randrange(4):
                    self._judge_one(key, await cache.aget(key, MISSING))
                else:
                    await cache.aset(key, self.values(generation)[key], TIMEOUT)
            except Exception as error:
                self.wrong.append(f"async: {type(error).__name__}: {error}")

    def _judge_one(self, key: str, found: Any) -> None:
        self.wrong += _judge(f"load {key}", found, self.right[key])

    def _judge_many(self, found: dict[str, Any]) -> None:
        for key, right in self.right.items():
            self.wrong += _judge(f"load {key}", found.get(key, MISSING), right)


def _judge(what: str, found: Any, right: list[Any]) -> list[str]:
    if found is MISSING:
        return [f"{what}: missing"]
    if not any(same(found, each) for each in right):
        return [f"{what}: {found!r} is not {right[0]!r}"]
    return []


def main(asked: dict[str, Any]) -> None:
    """Obey until the input ends."""
    settings.configure(
        CACHES=asked["caches"],
        SECRET_KEY="one secret key for the whole fleet of the migration",
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()
    pod = Pod(asked["population"])
    for line in sys.stdin:
        order, argument = json.loads(line)
        print(json.dumps(getattr(pod, order)(argument)), flush=True)
    pod.stop(None)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
