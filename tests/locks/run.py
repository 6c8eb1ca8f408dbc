"""A run: processes that contend, what is done to them, and what is known of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from redpony.locks.terms import ALIVE
from redpony.locks.tokens import GRANT
from tests.locks.diary import LEASE
from tests.locks.history import History, read
from tests.locks.inspector import Inspector
from tests.locks.register import Register
from tests.servers import Server, until

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 4
QUIET = 3.0
"""Seconds at the end of which nothing is done: everybody has to come to an end."""


class Run:
    """Processes that contend, each replaced when it dies; one of them doubles."""

    def __init__(
        self, location: str, directory: Path, seconds: float, seed: int
    ) -> None:
        self.location = location
        self.directory = directory
        self.diary = directory / "diary"
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.history = History()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.stopped: set[int] = set()
        self.seconds = seconds
        self.register = Register(directory / "register")
        self._errors = (directory / "errors").open("ab")
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self.register.__enter__()
        self._heart.start()
        self.diary.touch()
        self.calm = self.ends = time.monotonic() + 600  # until it is known
        began = time.monotonic()
        self.calm = began + 2.5 + min(self.seconds / 4, 5)
        self.ends = began + 2.5 + self.seconds
        for number in range(PROCESSES):
            self.spawn(doubles=number == 0)
        until(self._all_contend, "all contend", 60)
        self.history.calm = (time.monotonic(), self.calm)
        return self

    def __exit__(self, *exc: object) -> None:
        for each in self.processes:
            each.kill()
            each.wait()
        self._over.set()
        self._heart.join()
        self.register.__exit__()
        self._errors.close()

    def _all_contend(self) -> bool:
        for each in self.processes:
            assert each.poll() is None, (self.directory / "errors").read_text()
        # The last line may be written at this moment.
        whole = self.diary.read_text().rpartition("\n")[0].splitlines()
        lines = [line.split() for line in whole]
        return len({line[1] for line in lines if line[2] == "enter"}) == PROCESSES

    def _beat(self) -> None:
        """Measure how late the machine lets somebody go on who slept."""
        while not self._over.is_set():
            before = time.monotonic()
            time.sleep(0.01)
            late = time.monotonic() - before - 0.01
            self.history.lag = max(self.history.lag, late)

    def spawn(self, *, doubles: bool = False) -> None:
        """Start one more contender."""
        job = {
            "location": self.location,
            "diary": str(self.diary),
            "register": str(self.register.path),
            "seed": self.rng.randrange(10**9),
            "calm": self.calm,
            "ends": self.ends,
            "doubles": doubles,
        }
        process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "tests.locks.contender",
                json.dumps(job),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=self._errors,
        )
        self.processes.append(process)
        self.doubling = process.pid if doubles else getattr(self, "doubling", 0)

    # -- what is done to contenders -------------------------------------------

    def kill(self) -> None:
        """Kill one, and start another in its place."""
        victim = self.rng.choice(self.processes)
        self.history.deaths[str(victim.pid)] = time.monotonic()
        victim.kill()
        victim.wait()
        self.processes.remove(victim)
        # It may have held one thing, and stood in line for others.
        self.delay(GRANT)
        self.spawn(doubles=victim.pid == self.doubling)

    def stop(self) -> None:
        """Stop one for longer than its lease."""
        victim = self.rng.choice(self.processes)
        self.stopped.add(victim.pid)
        began = time.monotonic()
        victim.send_signal(signal.SIGSTOP)
        time.sleep(LEASE * 1.2)
        victim.send_signal(signal.SIGCONT)
        self.stopped.discard(victim.pid)
        self.history.stops.append((str(victim.pid), (began, time.monotonic())))
        self.delay(GRANT, began)

    def lives(self, pid: str) -> bool:
        """Return whether a process could go on now."""
        number = int(pid) if pid.isdigit() else 0
        return number not in self.stopped and any(
            each.pid == number and each.poll() is None for each in self.processes
        )

    # -- what is known --------------------------------------------------------

    def delay(self, seconds: float, at: float | None = None) -> None:
        """Note what may cost whoever is next so many seconds."""
        at = time.monotonic() if at is None else at
        self.history.delays.append((at, seconds))

    @contextlib.contextmanager
    def outage(self, *, forgets: bool = False) -> Iterator[None]:
        """Note a time in which servers do not answer, and perhaps forget."""
        began = time.monotonic()
        try:
            yield
        finally:
            ended = time.monotonic()
            self.history.outages.append((began, ended))
            if forgets:
                # Who was given a lock before may learn of it up to a grant later.
                self.history.losses.append((began, ended + GRANT))

    def through(
        self, troubles: list[Callable[[], Any]], first: list[Callable[[], Any]]
    ) -> None:
        """Let one trouble after the other happen; each once before any comes again."""
        time.sleep(max(self.calm - time.monotonic(), 0))
        deck = [*first]
        while time.monotonic() < self.ends - QUIET:
            if not deck:
                deck = [*troubles, *first]
                self.rng.shuffle(deck)
            time.sleep(self.rng.random() * 0.3)
            trouble = deck.pop()
            self.counts[trouble.__name__] += 1
            trouble()

    def finish(self, keys: Callable[[], Any]) -> History:
        """Wait for the end, and return all that is known."""
        for each in self.processes:
            assert each.wait(60) == 0
        known, history = self.history, read(self.diary)
        said = (self.directory / "errors").read_text()
        if "Traceback" in said or "ignored in" in said:
            known.findings.append(("errors", said[-4000:]))
        for name in (
            "calm", "losses", "outages", "stops", "deaths", "delays", "findings",
            "streaks", "lag",
        ):  # fmt: skip
            setattr(history, name, getattr(known, name))
        history.entries = self.register.entries
        history.delays += [(each.at, LEASE + GRANT) for each in history.told("echo")]
        ends = time.monotonic() + LEASE + 2 * ALIVE + 5 + history.slack
        while time.monotonic() < ends:
            history.left = {key for key in list(keys()) if not key.endswith(b":fence")}
            if not history.left:
                break
            time.sleep(0.1)
        self.counts.update(history.counts)
        return history


def inspected(server: Server, run: Run) -> Inspector:
    """Return an inspector of a run's server."""
    return Inspector(server, run.history, run.lives)
