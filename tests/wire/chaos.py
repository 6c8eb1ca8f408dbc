"""Mutations through a proxy that cuts, resets, stalls and chops: a ledger of effects.

Every worker increments a counter of its own and appends tokens to a list of its
own. What the server has in the end must be what was acknowledged, and of what was
"unknown" each once or not at all; nothing that was "not sent" may be there.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Self

from redpony.commands import ECHO, LRANGE, RPUSH
from redpony.errors import Unavailable
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from tests.proxy import Proxy
from tests.servers import Server
from tests.wire.links import INCR


@dataclass(slots=True)
class Ledger:
    """What one worker was told."""

    name: str
    counted: int = 0
    counts_in_doubt: int = 0
    tokens: list[bytes] = field(default_factory=list)
    tokens_in_doubt: list[bytes] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def plan(self, turns: int, seed: int) -> Generator[Any, Any, None]:
        """Yield the worker's operations; the ledger is kept in between."""
        rng = random.Random(seed)
        for turn in range(turns):
            text = f"{self.name}:{turn}".encode()
            key = f"count:{self.name}".encode()
            roll = rng.random()
            try:
                if roll < 0.4:
                    count = yield INCR(key)
                    self.counted += 1
                    most = self.counted + self.counts_in_doubt
                    assert self.counted <= count <= most, (self, count)
                elif roll < 0.7:
                    size = yield RPUSH(f"list:{self.name}".encode(), text)
                    self.tokens.append(text)
                    most = len(self.tokens) + len(self.tokens_in_doubt)
                    assert len(self.tokens) <= size <= most, (self, size)
                else:
                    assert (yield ECHO(text)) == text
            except Unavailable as error:
                self.outcomes[error.outcome] += 1
                if error.outcome == "unknown":
                    self.counts_in_doubt += roll < 0.4
                    if 0.4 <= roll < 0.7:
                        self.tokens_in_doubt.append(text)
            else:
                self.outcomes["answered"] += 1

    def audit(self, server: Server) -> None:
        """Compare with what the server has."""
        count = int(server.ask("GET", f"count:{self.name}") or 0)
        assert self.counted <= count <= self.counted + self.counts_in_doubt, self
        stored = server.ask(*LRANGE(f"list:{self.name}", "0", "-1").words())
        assert max(Counter(stored).values(), default=1) == 1
        assert set(self.tokens) <= set(stored)
        assert set(stored) <= set(self.tokens) | set(self.tokens_in_doubt)


class Vandal:
    """A thread that hurts the connections of a proxy until it is told to stop."""

    def __init__(self, proxy: Proxy, server: Server, seed: int) -> None:
        self.proxy = proxy
        self.server = server
        self.random = random.Random(seed)
        self.acts: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.proxy.heal()

    def _run(self) -> None:
        acts = (self.cut, self.reset, self.cut_after, self.stall, self.chop, self.kill)
        while not self._over.is_set():
            act = self.random.choice(acts)
            self.acts[act.__name__] += 1
            act()
            self.proxy.heal()
            self._over.wait(self.random.uniform(0, 0.02))

    def cut(self) -> None:
        self.proxy.cut()

    def reset(self) -> None:
        self.proxy.reset()

    def cut_after(self) -> None:
        self.proxy.cut_after(self.random.randrange(300))
        time.sleep(self.random.uniform(0, 0.01))

    def stall(self) -> None:
        self.proxy.stall()
        time.sleep(self.random.uniform(0, 0.15))

    def chop(self) -> None:
        self.proxy.chop(self.random.randrange(1, 7))
        time.sleep(self.random.uniform(0, 0.02))

    def kill(self) -> None:
        self.server.ask("CLIENT", "KILL", "USER", "default")


def riot(server: Server, *, workers: int, turns: int, seed: int) -> Counter[str]:
    """Run workers in both colours at once, audit them, and return the outcomes."""
    with Proxy((server.host, server.port)) as proxy:
        link = Link(
            LinkConfig(
                Tcp(proxy.host, proxy.port),
                deadline=0.1,
                connect_timeout=0.2,
                breaker_failures=10**9,
            )
        )
        ledgers = [Ledger(f"{seed}-{number}") for number in range(2 * workers)]
        raised: list[BaseException] = []

        def block(ledger: Ledger) -> None:
            try:
                link.run(ledger.plan(turns, seed))
            except BaseException as error:
                raised.append(error)

        async def await_all() -> None:
            async with asyncio.TaskGroup() as group:
                for ledger in ledgers[workers:]:
                    group.create_task(link.arun(ledger.plan(turns, seed)))

        with Vandal(proxy, server, seed):
            threads = [
                threading.Thread(target=block, args=(each,))
                for each in ledgers[:workers]
            ]
            for thread in threads:
                thread.start()
            asyncio.run(await_all())
            for thread in threads:
                thread.join()
        assert raised == []
        assert link.blocking.pool.in_use == 0
        link.close()
    # What was cut off may still be on its way to the server.
    _settled(server)
    outcomes: Counter[str] = Counter()
    for ledger in ledgers:
        ledger.audit(server)
        outcomes += ledger.outcomes
    return outcomes


def _settled(server: Server) -> None:
    end = time.monotonic() + 10
    while server.users() and time.monotonic() < end:
        time.sleep(0.005)
