"""A server's clock that is set back while it is in the middle of a script.

Redis 7.0 counts a time from the clock as it is then, and asks whether it is over by the
clock at the script's begin, so a script can find gone what it has just written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import redis

from redpony.scripts import script
from tests.locks.clock import Clocked

STEPS = 100
KEYS = [f"{{job}}:{name}" for name in ("holders", "queue", "alive", "fence", "sum")]

Take = Callable[[Any, Any, str], list[Any]]


def of_lock(acquire: Any, release: Any, token: str) -> list[Any]:
    """Take and give back a lock; nothing where somebody else has it."""
    keys = KEYS[:4]
    taken = acquire(keys=keys, args=[token, 1000, 0, 0, 0])
    return [] if isinstance(taken, list) else [release(keys=keys, args=[token])]


def of_semaphore(acquire: Any, release: Any, token: str) -> list[Any]:
    taken = acquire(keys=KEYS, args=[token, 3, 1000, 0, 0, 0])
    return [] if isinstance(taken, list) else [release(keys=KEYS, args=[token, 3])]


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
@pytest.mark.parametrize(
    ("which", "turn"), [("lock", of_lock), ("semaphore", of_semaphore)]
)
def test_nobody_is_forgotten_when_a_clock_is_set_back(
    flavour: str, which: str, turn: Take
) -> None:
    over = threading.Event()
    given_back: list[Any] = []

    with Clocked(flavour) as server:

        def contend(name: str) -> None:
            with redis.Redis(host=server.host, port=server.port) as client:
                acquire, release = (
                    client.register_script(script(f"{which}_{what}").source)
                    for what in ("acquire", "release")
                )
                for number in count():
                    if over.is_set():
                        return
                    # A token that weighs two, of three.
                    token = f"rp.x.1000.w2.{name}.{number}"
                    given_back.extend(turn(acquire, release, token))

        threads = [threading.Thread(target=contend, args=(name,)) for name in "abcd"]
        for each in threads:
            each.start()
        try:
            for _ in range(STEPS):
                server.step(-3)
                time.sleep(0.02)
        finally:
            over.set()
            for each in threads:
                each.join()
    assert len(given_back) > STEPS
    # Each had it still when it gave it back.
    assert set(given_back) == {1}
