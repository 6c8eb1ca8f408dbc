"""The provocations: what is done to the server while a crowd uses the cache.

Each is a function that is handed the `Ground` and returns figures. The order is
that of the table.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import redis

from benchmarks.faults.contestants import configure
from benchmarks.faults.crowd import PROMPT, Crowd
from redpony.testing.chaos import Proxy
from tests.servers import Server, until

Figures = dict[str, Any]

LONG = 8.0
"""Seconds of silence: longer than any contestant's time-out."""


@dataclass
class Ground:
    """Who is measured, where, and for how many seconds a fault lasts."""

    name: str
    server: Server
    seconds: float
    long: float

    def cache(self, location: str | None = None) -> Any:
        """Set the contestant up on the server, or on what stands before it."""
        return configure(self.name, location or self.server.url())

    @contextlib.contextmanager
    def crowd(self, location: str | None = None, **how: Any) -> Iterator[Crowd]:
        """Give a crowd that has had its first answers."""
        self.cache(location)
        with Crowd(self.name, **how) as crowd:
            crowd.warm()
            crowd.begin()
            yield crowd
            crowd.end()
            # What comes back, comes back in order.
            time.sleep(0.2)

    def judge(self, crowd: Crowd) -> Figures:
        """Return the crowd's figures, with the counters as they are in the end."""
        for worker in crowd.workers:
            found = None
            for key in self.server.ask("KEYS", f"*{worker.counter}"):
                found = self.server.ask("GET", key)
            worker.audit(found)
        return {**crowd.figures(), "connections": len(self.server.users())}


def refused(ground: Ground) -> Figures:
    with ground.crowd() as crowd:
        ground.server.kill()
        time.sleep(ground.seconds)
    figures = crowd.figures()
    ground.server.start()
    return figures


def hung(ground: Ground) -> Figures:
    with ground.crowd() as crowd:
        ground.server.pause()
        time.sleep(ground.long)
        crowd.end()
        ground.server.resume()
    return ground.judge(crowd)


def half_open(ground: Ground) -> Figures:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as mute:
        ground.cache(f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
        with Crowd(ground.name, methods="get") as crowd:
            crowd.begin()
            time.sleep(ground.long)
            crowd.end()
        return crowd.figures()


def reset(ground: Ground) -> Figures:
    # A connection lives for some twenty answers and is reset within one.
    with Proxy(ground.server.url()) as proxy, proxy.limit_data(2_000, reset=True):
        with ground.crowd(proxy.url) as crowd:
            time.sleep(ground.seconds)
        figures = ground.judge(crowd)
    return {**figures, "connections": None}


def restarted(ground: Ground) -> Figures:
    with ground.crowd() as crowd:
        for _ in every(0.5, ground.seconds):
            ground.server.kill()
            time.sleep(0.1)
            ground.server.start()
    return ground.judge(crowd)


def paused(ground: Ground) -> Figures:
    with ground.crowd() as crowd:
        ground.server.ask("CLIENT", "PAUSE", int(1000 * ground.seconds), "ALL")
        # Until it answers again, by its own clock.
        ground.server.ask("PING")
    return ground.judge(crowd)


def full(ground: Ground) -> Figures:
    with ground.crowd() as crowd:
        ground.server.ask("CONFIG", "SET", "maxmemory", 1_000)
        time.sleep(ground.seconds)
        ground.server.ask("CONFIG", "SET", "maxmemory", 0)
    return ground.judge(crowd)


def read_only(ground: Ground) -> Figures:
    with Server(ground.server.flavour) as leader:
        with ground.crowd() as crowd:
            ground.server.follow(leader)
            time.sleep(ground.seconds)
            ground.server.lead()
        # Its data went with the new leader's: counters say nothing.
        return {**crowd.figures(), "connections": len(ground.server.users())}


def loading(ground: Ground) -> Figures:
    server = ground.server
    server.settings += (
        "key-load-delay 500",
        "loading-process-events-interval-bytes 1024",
    )
    with ground.crowd() as crowd:
        server.ask("DEBUG", "POPULATE", int(2000 * ground.seconds))
        server.ask("SAVE")
        server.kill()
        server.launch()
        server.await_answer()
    return crowd.figures()


def busy(ground: Ground) -> Figures:
    server = ground.server
    server.ask("CONFIG", "SET", "busy-reply-threshold", 100)

    def run() -> None:
        with server.connect(socket_timeout=60) as client:
            with contextlib.suppress(redis.ResponseError):
                client.eval("while true do end", 0)

    script = threading.Thread(target=run)
    with ground.crowd() as crowd:
        script.start()
        time.sleep(ground.seconds)
        until(lambda: killed(server), "the script is gone")
        script.join()
    return ground.judge(crowd)


def killed(server: Server) -> bool:
    try:
        server.ask("SCRIPT", "KILL")
    except redis.ResponseError as error:
        return str(error).startswith("NOTBUSY")
    return True


def disconnected(ground: Ground) -> Figures:
    with ground.crowd() as crowd:
        for _ in every(0.005, ground.seconds):
            ground.server.ask("CLIENT", "KILL", "USER", "default")
    return ground.judge(crowd)


def stalled_counters(ground: Ground) -> Figures:
    """Many callers add one, once each, to a counter of their own, into a stall."""
    cache = ground.cache()
    counters = [f"stall:{number}" for number in range(20)]
    for counter in counters:
        cache.set(counter, 0, None)
    crowd = Crowd(ground.name, size=20, methods="incr")
    with crowd:
        crowd.warm(2)
        crowd.begin()
        ground.server.pause()
        time.sleep(ground.long)
        crowd.end()
        ground.server.resume()
    return ground.judge(crowd)


def storm(ground: Ground) -> Figures:
    """300 threads read at once, five times each."""
    from django.core.cache import caches

    cache = ground.cache()
    cache.set("small", {"id": 1}, None)
    start, done, over = (threading.Barrier(301) for _ in range(3))
    held: list[float] = []
    prompt: list[bool] = []
    wrong: list[Any] = []
    errors: dict[str, int] = {}

    def share() -> None:
        mine = caches["default"]
        start.wait()
        for _ in range(5):
            began = time.monotonic()
            try:
                found = mine.get("small")
                prompt.append(time.monotonic() - began <= PROMPT)
                if found not in ({"id": 1}, None):
                    wrong.append(found)
            except Exception as error:
                name = type(error).__name__
                errors[name] = errors.get(name, 0) + 1
            held.append(time.monotonic() - began)
        done.wait()
        over.wait()

    threads = [threading.Thread(target=share) for _ in range(300)]
    for thread in threads:
        thread.start()
    start.wait()
    done.wait()
    connections = len(ground.server.users())
    over.wait()
    for thread in threads:
        thread.join()
    return {
        "calls": len(held),
        "answered": len(held) - sum(errors.values()),
        "prompt": sum(prompt),
        "held": max(held),
        "wrong": len(wrong),
        "errors": errors,
        "connections": connections,
    }


def every(period: float, seconds: float) -> Iterator[int]:
    """Count, a period apart, until the time is up."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        yield count
        count += 1
        time.sleep(period)


SCENES: dict[str, tuple[str, Callable[[Ground], Figures]]] = {
    "refused": ("refuses connections", refused),
    "hung": ("hangs (`SIGSTOP`)", hung),
    "half-open": ("accepts and never answers", half_open),
    "reset": ("resets connections in the middle of an answer", reset),
    "restarted": ("is restarted again and again", restarted),
    "paused": ("is paused (`CLIENT PAUSE`)", paused),
    "full": ("is full (`OOM`)", full),
    "read-only": ("is a replica (`READONLY`)", read_only),
    "loading": ("reads its data (`LOADING`)", loading),
    "busy": ("runs a long script (`BUSY`)", busy),
    "disconnected": ("closes connections in flight (`CLIENT KILL`)", disconnected),
    "stalled": ("stalls on 20 `incr`", stalled_counters),
    "storm": ("is asked by 300 threads at once", storm),
}
