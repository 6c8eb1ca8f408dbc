"""What type checkers see of locks: both colours, from one body each.

No test is run here: `make types` reads this file with mypy and pyright.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any, assert_type

from django.http import HttpRequest, HttpResponse

from redpony.cache import RedisCache
from redpony.locks import (
    Barrier,
    Event,
    Held,
    Latch,
    Leader,
    Lock,
    QuorumLock,
    ReadWriteLock,
    Semaphore,
    locked,
    once,
)
from redpony.locks.inspection import Inspection


def a_lock(lock: Lock) -> None:
    with lock as held:
        assert_type(held, Held)
        assert_type(held.fence, int)
        assert_type(held.remaining, float)
        assert_type(held.lost.is_set(), bool)
        assert_type(held.lost.wait(1), bool)
    assert_type(lock.acquire(blocking_timeout=1.5), bool)
    assert_type(lock.release(), None)
    assert_type(lock.extend(5), bool)
    assert_type(lock.reacquire(), bool)
    assert_type(lock.locked(), bool)
    assert_type(lock.owned(), bool)
    assert_type(lock.owner(), str | None)
    assert_type(lock.held, Held | None)
    assert_type(lock.inspect(), Inspection)


async def a_lock_in_asyncio(lock: Lock) -> None:
    async with lock as held:
        assert_type(held, Held)
        await held.lost
    assert_type(await lock.aacquire(blocking=False), bool)
    assert_type(await lock.aextend(5, replace_ttl=True), bool)
    assert_type(await lock.alocked(), bool)
    assert_type(await lock.aowner(), str | None)
    _ = assert_type(lock.aowned(), CoroutineType[Any, Any, bool])


def a_lock_of_the_cache(cache: RedisCache) -> None:
    assert_type(cache.lock("a", timeout=5), Lock)


def others(lock: ReadWriteLock, places: Semaphore) -> None:
    with lock.read as reader, lock.write as writer, places as place:
        assert_type((reader, writer, place), tuple[Held, Held, Held])
    assert_type(places.available(), int)
    assert_type(Latch("a", 3).count_down(), int)
    assert_type(Event("a").is_set(), bool)
    assert_type(Barrier("a", 3).wait(timeout=5), int)
    assert_type(Leader("a").is_leader, bool)
    with QuorumLock("a", using=["x", "y", "z"]) as held:
        assert_type(held.fence, int)


@locked("import:{supplier}")
def importing(supplier: int) -> list[str]:
    return [str(supplier)]


@locked("view")
async def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.path)


@once("welcome:{user}", ttl=60)
def welcome(user: int) -> str:
    return str(user)


@once("sync:{user}", ttl=60, wait=False)
def syncing(user: int) -> str:
    return str(user)


@once("charge:{user}", ttl=60, at_most_once=True)
async def charge(user: int) -> str:
    return str(user)


async def decorated(request: HttpRequest) -> None:
    assert_type(importing(supplier=1), list[str])
    assert_type(await view(request), HttpResponse)
    assert_type(welcome(1), str)
    assert_type(welcome.forget(user=1), bool)
    assert_type(syncing(1), str | None)
    assert_type(await charge(1), str | None)
    assert_type(await charge.aforget(1), bool)
