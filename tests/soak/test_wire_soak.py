"""Long runs of what tests/wire does briefly; each prints its counts."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from redpony.commands import ECHO
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from tests.servers import Server
from tests.soak.conftest import Record, Say
from tests.wire.chaos import riot
from tests.wire.fuzz import Cancels, Interrupts
from tests.wire.links import one, until

pytestmark = pytest.mark.soak

SEED = int(os.environ.get("REDPONY_SOAK_SEED", "20261122"))


def patient(server: Server, **config: Any) -> Link:
    return Link(
        LinkConfig(
            Tcp(server.host, server.port),
            **{"deadline": 60.0, "connect_timeout": 60.0, **config},
        )
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_hundred_thousand_cancelled_operations(
    server: Server, say: Say, record: Record
) -> None:
    link = patient(server)
    with server.counting() as counted:
        counts = Cancels(link, SEED).run(120_000)
    say(
        f"{server.flavour}: {counts.stopped} cancelled, {counts.answered} answers "
        f"verified, {len(counts.wrong)} wrong, {counted.connections} connections, "
        f"{len(counts.complaints)} complaints"
    )
    record(
        "reads cancelled",
        operations=counts.answered,
        stopped=counts.stopped,
        wrong=len(counts.wrong),
    )
    assert counts.wrong == []
    assert counts.complaints == []
    assert counted.connections == 1


def test_a_hundred_thousand_interrupts(
    server: Server, say: Say, record: Record
) -> None:
    link = patient(server)
    before = descriptors()
    with server.counting() as counted:
        counts = Interrupts(link, SEED).run(120_000)
    pool = link.blocking.pool
    lost = pool.in_use
    link.close()
    say(
        f"{server.flavour}: {counts.stopped} interrupts, {counts.answered} answers "
        f"verified, {len(counts.wrong)} wrong, {lost} places lost, "
        f"{counted.connections} connections, {descriptors() - before} descriptors "
        "more than before"
    )
    record(
        "reads interrupted",
        operations=counts.answered,
        stopped=counts.stopped,
        wrong=len(counts.wrong),
    )
    assert counts.wrong == []
    assert counts.complaints == []
    assert lost == 0
    assert descriptors() <= before


def test_ten_riots(server: Server, say: Say, record: Record) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(SEED, SEED + 10):
        outcomes += riot(server, workers=10, turns=500, seed=seed)
    # What is wrong, or done twice, ends a riot.
    operations = outcomes.total()
    record("mutations cut and killed", operations=operations, wrong=0, duplicates=0)
    say(f"{server.flavour}: {dict(outcomes)}; every effect once or in doubt")


def test_two_thousand_loops_in_turn(server: Server, say: Say) -> None:
    link = patient(server)
    before = descriptors()

    async def echo(text: bytes) -> None:
        assert await link.arun(one(ECHO(text))) == text

    for number in range(2_000):
        asyncio.run(echo(b"%d" % number))
    until(lambda: server.users() == [])
    say(
        f"{server.flavour}: 2000 loops, {link.awaiting.loops.places.taken} "
        f"connections left, {descriptors() - before} descriptors more than before"
    )
    assert link.awaiting.loops.places.taken == 0
    assert descriptors() <= before


def test_storms_of_threads_in_both_colours(server: Server, say: Say) -> None:
    link = patient(server, pool_size=20)
    rng = random.Random(SEED)
    met: Counter[str] = Counter()

    def work(number: int, seed: float) -> None:
        turns = random.Random(seed).randrange(1, 20)
        for turn in range(turns):
            text = b"%d-%d" % (number, turn)
            if number % 3:
                got = link.run(one(ECHO(text)))
            else:
                got = asyncio.run(link.arun(one(ECHO(text))))
            met["right" if got == text else "wrong"] += 1

    for _ in range(10):
        threads = [
            threading.Thread(target=work, args=(number, rng.random()))
            for number in range(300)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert link.blocking.pool.in_use == 0
        assert link.blocking.pool.opened <= 20
        assert link.awaiting.loops.places.taken == 0
    link.close()
    say(f"{server.flavour}: 10 storms of 300 threads: {dict(met)}")
    assert met["wrong"] == 0
