"""How long a silent server holds a caller, and how long once that is known.

Two scenes. `fell silent`: the connection is open and warm when the server's
process is stopped by SIGSTOP. `never spoke`: a listener whose kernel accepts
connections while nobody reads. The server is asked until the answer comes in
under a millisecond, at most `CALLS` times, and then once more for the figure
with the breaker open. Peers get `PATIENCE` seconds; a caller still held then is
reported as held for at least that long.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import redis
from django.core.cache import caches

from benchmarks.contestants import BACKENDS
from benchmarks.rows import SMALL
from benchmarks.servers import HOST, Measured

SCENES = {"fell silent": "stopped:", "never spoke": "mute:"}
CALLS = 6
FAST = 100
PATIENCE = 8.0
PATIENCE_QUICK = 1.5


@dataclass
class Held:
    """Seconds that each call in turn was held; `open_ms` with the breaker open."""

    calls: list[float] = field(default_factory=list)
    still_held: bool = False
    open_ms: float | None = None
    error: str = ""

    @property
    def longest(self) -> float:
        return max(self.calls, default=0.0)


@contextmanager
def mute() -> Any:
    """Listen, let the kernel accept, and say nothing; gives the port."""
    with socket.create_server((HOST, 0), backlog=512) as listener:
        yield int(listener.getsockname()[1])


def measure(victim: Measured, mute_port: int, patience: float) -> dict[str, Any]:
    """Return what each contestant's caller met, by scene and name.

    The victim stays stopped until everybody has been measured, and the peers
    are held at the same time, so the whole takes little more than `patience`.
    """
    found: dict[str, dict[str, Held]] = {scene: {} for scene in SCENES}
    runner = asyncio.Runner()
    callers = _callers(victim, mute_port, runner)
    victim.pause()
    try:
        threads: list[tuple[threading.Thread, Held, float]] = []
        for scene, name, call in callers:
            held = found[scene][name] = Held()
            if name.startswith("ours"):
                _watch(call, held, CALLS)
                continue
            thread = threading.Thread(target=_watch, args=(call, held, 1), daemon=True)
            thread.start()
            threads.append((thread, held, time.monotonic()))
        for thread, held, start in threads:
            thread.join(max(0.0, start + patience - time.monotonic()))
            if thread.is_alive():
                held.still_held = True
                held.calls = [time.monotonic() - start]
    finally:
        victim.resume()
    runner.close()
    return {
        scene: {name: asdict(held) for name, held in row.items()}
        for scene, row in found.items()
    }


def _callers(
    victim: Measured, mute_port: int, runner: asyncio.Runner
) -> list[tuple[str, str, Callable[[], object]]]:
    """Return everybody's call, with those to the victim warm."""
    found: list[tuple[str, str, Callable[[], object]]] = []
    ports = {"fell silent": victim.port, "never spoke": mute_port}
    for scene, prefix in SCENES.items():
        for name in BACKENDS:
            try:
                cache: Any = caches[prefix + name]
                if scene == "fell silent":
                    cache.set("small", SMALL)
                    cache.get("small")
            except Exception:  # reported as absent elsewhere
                continue
            found.append((scene, name, lambda cache=cache: cache.get("small")))
        if "ours" in {each for of, each, _ in found if of == scene}:
            acache: Any = caches[f"a:{prefix}ours"]
            if scene == "fell silent":
                runner.run(acache.aget("small"))
            found.append(
                (
                    scene,
                    "ours, asyncio",
                    lambda acache=acache: runner.run(acache.aget("small")),
                )
            )
        client = redis.Redis(host=HOST, port=ports[scene])
        if scene == "fell silent":
            client.get("small")
        found.append((scene, "redis-py", lambda client=client: client.get("small")))
    return found


def _watch(call: Callable[[], object], held: Held, calls: int) -> None:
    """Call until it fails fast; then time that."""
    for _ in range(calls):
        seconds, held.error = _timed(call)
        held.calls.append(seconds)
        if seconds < 0.001:
            break
    else:
        return
    held.open_ms = 1000 * statistics.median(_timed(call)[0] for _ in range(FAST))


def _timed(call: Callable[[], object]) -> tuple[float, str]:
    start = time.perf_counter()
    error = ""
    try:
        call()
    except Exception as raised:  # which one is the figure's footnote
        error = type(raised).__name__
    return time.perf_counter() - start, error
