"""Many contenders, and everything that can go wrong: the promises hold all the time."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redpony.testing.chaos import Proxy
from tests.locks.contender import LEASE
from tests.locks.history import History, read
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 4
GAP = LEASE + 2.0 + 1.0
"""The longest time without a holder that is in order: the lease of one that died, the
grant of one that died in line, and a second for a waiter to look by itself."""


class Run:
    """Processes that contend, each replaced when it dies."""

    def __init__(self, location: str, path: Path, seconds: float, seed: int) -> None:
        self.location = location
        self.path = path
        self.ends = time.monotonic() + seconds
        self.rng = random.Random(seed)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.killed = 0
        self.stopped = 0
        for _ in range(PROCESSES):
            self.spawn()

    def spawn(self) -> None:
        left = max(self.ends - time.monotonic(), 0.1)
        words = ["-m", "tests.locks.contender", self.location, str(self.path)]
        words += [str(self.rng.randrange(10**9)), str(left)]
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-W", "error", *words],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        )

    def kill(self) -> None:
        victim = self.rng.choice(self.processes)
        victim.kill()
        victim.wait()
        self.processes.remove(victim)
        self.killed += 1
        self.spawn()

    def freeze(self) -> None:
        """Stop a process for longer than its lease."""
        victim = self.rng.choice(self.processes)
        victim.send_signal(signal.SIGSTOP)
        time.sleep(LEASE * 1.2)
        victim.send_signal(signal.SIGCONT)
        self.stopped += 1

    def finish(self) -> None:
        for each in self.processes:
            assert each.wait(30) == 0


def contend(
    location: str,
    path: Path,
    seconds: float,
    seed: int,
    hurts: Callable[[Run], list[Callable[[], Any]]],
) -> tuple[Run, History]:
    run = Run(location, path, seconds, seed)
    things = hurts(run)
    while time.monotonic() < run.ends - 3:
        time.sleep(run.rng.random() * 0.3)
        run.rng.choice(things)()
    run.finish()
    return run, read(path)


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_the_promises_hold_while_everything_breaks(
    flavour: str, tmp_path: Path, cold_server: Any, capsys: Any
) -> None:
    server: Server = cold_server(flavour)
    with Proxy((server.host, server.port), seed=1) as proxy:
        numbers = itertools.count()

        def cut() -> None:
            """Let answers get lost, after some bytes of them."""
            with proxy.limit_data(next(numbers) % 60):
                time.sleep(0.02)

        def delay() -> None:
            with proxy.latency(20, jitter=20):
                time.sleep(0.1)

        def forget() -> None:
            server.ask("SCRIPT", "FLUSH")

        run, history = contend(
            f"redis://{proxy.host}:{proxy.port}",
            tmp_path / "diary",
            float(os.environ.get("REDPONY_LOCKS_SECONDS", "20")),
            20261122,
            lambda run: [run.kill, run.freeze, cut, cut, delay, forget, server.hang_up],
        )
    assert history.overlaps() == []
    assert history.disorder() == []
    assert history.twins() == []
    assert history.longest_gap() < GAP
    assert len(history.holdings) > 100
    time.sleep(LEASE + 2)
    left = {each for each in list(server.keys()) if not each.endswith(b":fence")}
    with capsys.disabled():
        print(
            f"\n  {flavour}: {len(history.holdings)} holdings, {run.killed} killed, "
            f"{run.stopped} stopped, gap {history.longest_gap():.2f} s, "
            f"{dict(history.counts)}",
            end="",
        )
    assert left == set()
