"""How many connections 300 threads cost the server, and who is refused.

Sync: all threads ask at once, and while all of them still live the server says
how many clients it has. `async_to_sync`: each call starts an event loop and
ends it, so a process beside us watches the number while it changes. What the
server accepted in all is told too: a connection per call is a cost of its own.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.cache import caches

from benchmarks.contestants import BACKENDS
from benchmarks.servers import Measured

Call = Callable[[], object]

SCENE = "crowd:"
THREADS = 300
GETS = 5


@dataclass
class Crowd:
    """What a crowd of threads cost."""

    peak: int
    accepted: int
    refused: int
    calls: int
    error: str = ""


def measure(server: Measured) -> dict[str, dict[str, Any]]:
    """Return the crowd's cost by colour and contestant."""
    found: dict[str, dict[str, Any]] = {"sync": {}, "async_to_sync": {}}
    for name in BACKENDS:
        for colour, alias, ask in (
            ("sync", SCENE + name, _ask),
            ("async_to_sync", f"a:{SCENE}{name}", _ask_async),
        ):
            try:
                ask(alias)()
            except Exception as error:  # the backend does not work here
                found[colour][name] = {"error": f"{type(error).__name__}: {error}"}
            else:
                found[colour][name] = asdict(_run(server, alias, ask))
    return found


def _ask(alias: str) -> Call:
    cache: Any = caches[alias]
    return lambda: cache.get("small")


def _ask_async(alias: str) -> Call:
    cache: Any = caches[alias]

    async def get() -> object:
        return await cache.aget("small")

    return async_to_sync(get)


def _run(server: Measured, alias: str, ask: Callable[[str], Call]) -> Crowd:
    # The barriers hold everybody alive while the watcher takes its last look.
    start, done, end = (threading.Barrier(THREADS + 1) for _ in range(3))
    errors: Counter[str] = Counter()

    def share() -> None:
        call = ask(alias)
        start.wait()
        for _ in range(GETS):
            try:
                call()
            except Exception as error:  # counted: that is the figure
                errors[type(error).__name__] += 1
        done.wait()
        end.wait()

    threads = [threading.Thread(target=share) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    database = settings.CACHES[alias]["LOCATION"].rpartition("/")[2]
    watcher = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watch", str(server.port), database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    watcher.stdout.readline()
    accepted = server.stat("total_connections_received")
    start.wait()
    done.wait()
    accepted = server.stat("total_connections_received") - accepted
    peak = int(watcher.communicate("")[0])
    end.wait()
    for thread in threads:
        thread.join()
    return Crowd(peak, accepted, errors.total(), THREADS * GETS, ", ".join(errors))
