"""A page that uses the cache, at 100 requests a second, while the server is away.

The page is Django's own handler with its middleware, without a network: it reads
an article by `get_or_set`, reads two values by `get_many` and stores one. Requests
come when they come (an open loop): who is slow does not slow them down, and they
wait for one of 40 threads, as a threaded server has them. A request's time counts
from when it came. One that has no answer `PATIENCE` seconds after the outage has
none in this table either.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.faults.contestants import configure
from benchmarks.faults.crowd import PROMPT
from benchmarks.faults.scenes import Ground

RATE = 100
THREADS = 40
PATIENCE = 10.0
SECOND = 1.0
"""Of normal life, before the outage and after it."""


@dataclass
class Request:
    """When a request came, when it was answered, and with which status."""

    came: float
    answered: float | None = None
    status: int = 0


def view(request: Any) -> Any:
    """Show an article, from the cache or from the database."""
    from django.core.cache import cache
    from django.http import HttpResponse

    article = cache.get_or_set("article", lambda: "from the database", 60)
    cache.get_many(["menu", "footer"])
    cache.set("seen", 1, 60)
    return HttpResponse(str(article))


def outage(ground: Ground, how: str) -> dict[str, Any]:
    """Take the server away under load, by `how` ("killed" or "frozen")."""
    configure(
        ground.name,
        ground.server.url(),
        ROOT_URLCONF="benchmarks.faults.urls",
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        # A 500 for each request is the figure; a line for each is not.
        LOGGING={"version": 1, "loggers": {"django.request": {"level": "CRITICAL"}}},
    )
    server = ground.server
    requests: list[Request] = []
    stop = threading.Event()
    pool = ThreadPoolExecutor(THREADS)
    source = threading.Thread(target=arrive, args=(requests, pool, stop))
    source.start()
    time.sleep(SECOND)
    began = time.monotonic()
    server.kill() if how == "killed" else server.pause()
    time.sleep(ground.seconds)
    ended = time.monotonic()
    server.start() if how == "killed" else server.resume()
    time.sleep(SECOND)
    stop.set()
    source.join()
    until_answered(requests, ended + PATIENCE)
    pool.shutdown(wait=False, cancel_futures=True)
    return figures(requests, began, ended)


def arrive(
    requests: list[Request], pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    """Send a request every hundredth of a second, whatever becomes of the others."""
    start = time.monotonic()
    while not stop.is_set():
        due = start + len(requests) / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        request = Request(due)
        requests.append(request)
        pool.submit(serve, request)


def serve(request: Request) -> None:
    from django.test import Client

    found = Client(raise_request_exception=False).get("/article/")
    request.status = found.status_code
    request.answered = time.monotonic()


def until_answered(requests: list[Request], end: float) -> None:
    while time.monotonic() < end:
        if all(request.answered for request in requests):
            return
        time.sleep(0.01)


def figures(requests: list[Request], began: float, ended: float) -> dict[str, Any]:
    """Return what became of the requests that came during the outage."""
    now = time.monotonic()
    ours = [request for request in requests if began <= request.came < ended]
    times = sorted((each.answered or now) - each.came for each in ours)
    good = [each for each in ours if each.answered and each.status < 300]
    return {
        "requests": len(ours),
        "good": len(good),
        "prompt": sum(each.answered - each.came <= PROMPT for each in good),
        "unanswered": sum(each.answered is None for each in ours),
        "p50": times[len(times) // 2],
        "p99": times[min(len(times) - 1, len(times) * 99 // 100)],
        "longest": times[-1],
        "statuses": dict(Counter(str(each.status) for each in ours if each.answered)),
    }
