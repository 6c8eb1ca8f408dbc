"""Looks at a server, many times a second, while processes contend for its locks."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import redis

from redpony.locks.shares import Shares
from redpony.locks.terms import exclusive, own_key
from tests.locks.diary import EXCLUSIVE, LIMITS
from tests.locks.history import History
from tests.servers import Server

WEIGHT = re.compile(rb"^rp\.[^.]+\.\d+\.w(\d+)\.")
ROOMS = {"s": "semaphore", "r": "rw"}
OFTEN = 0.02


class Inspector:
    """Writes into a history what a server itself contradicts.

    Each look is one transaction: a state that the server really had. `lives` says
    whether a process could go on now.
    """

    def __init__(
        self, server: Server, history: History, lives: Callable[[str], bool]
    ) -> None:
        self.server = server
        self.history = history
        self.lives = lives
        self.looks = 0
        self._free: dict[str, float] = {}
        self._last = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._keys = {
            name: exclusive(own_key("", name, "lock")).keys for name in EXCLUSIVE
        } | {
            name: Shares(own_key("", name, room), LIMITS[name]).keys
            for name, room in ROOMS.items()
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with self.server.connect() as client:
            while not self._over.wait(OFTEN):
                try:
                    self._look(client)
                except redis.RedisError:
                    self._free.clear()  # it is away, and what was seen is old

    def _look(self, client: Any) -> None:
        pipe = client.pipeline(transaction=True)
        pipe.time()
        for name, keys in self._keys.items():
            pipe.zrange(keys[1], 0, -1)
            pipe.zrange(keys[2], 0, -1, withscores=True)
            if name in EXCLUSIVE:
                pipe.get(keys[0])
            else:
                pipe.zrange(keys[0], 0, -1, withscores=True)
            pipe.get(keys[-1])
            for key in keys:
                pipe.pttl(key)
        (seconds, micros), *said = pipe.execute()
        now = seconds * 1000 + micros / 1000
        moment = time.monotonic()
        if moment - self._last > 10 * OFTEN:
            self._free.clear()
        self._last = moment
        self.looks += 1
        for name, keys in self._keys.items():
            queue, alive, holders, last, *ttls = said[: 4 + len(keys)]
            said = said[4 + len(keys) :]
            if -1 in ttls:
                self._find("I9", f"{keys[ttls.index(-1)]!r} has no end")
            if set(queue) != {token for token, _ in alive}:
                self._find("I9", f"{name}: in line {queue}, alive {alive}")
            if name not in EXCLUSIVE:
                self._weigh(name, holders, last, now)
            self._watch(name, bool(holders), alive, now, moment)

    def _weigh(self, name: str, holders: Any, last: Any, now: float) -> None:
        weights = {token: _weight(token) for token, _ in holders}
        held = sum(weights[token] for token, score in holders if score >= now)
        if held > LIMITS[name]:
            self._find("I1", f"{name}: {holders} weigh {held}")
        # Of nobody it says nothing: the clock may have been ahead, and is set back.
        if last and holders and int(last) != sum(weights.values()):
            self._find("I1", f"{name}: {holders} are counted as {int(last)}")

    def _watch(
        self, name: str, is_held: bool, alive: Any, now: float, moment: float
    ) -> None:
        """Note how long something is free though somebody who lives is in line."""
        waits = any(
            score >= now and self.lives(token.decode().rpartition("-")[2])
            for token, score in alive
        )
        if is_held or not waits:
            self._free.pop(name, None)
            return
        since = self._free.setdefault(name, moment)
        self.history.streaks[name] = max(
            self.history.streaks.get(name, 0), moment - since
        )

    def _find(self, which: str, what: str) -> None:
        if len(self.history.findings) < 100:
            self.history.findings.append((which, what))


def _weight(token: bytes) -> int:
    found = WEIGHT.match(token)
    return int(found[1]) if found else 1
