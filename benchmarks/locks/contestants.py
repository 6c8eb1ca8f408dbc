"""Whose locks are measured, and how each is taken and given back.

All have a lease of 30 s, so that none leaves a lock behind for ever. Ours is renewed
as long as it is held, which is its default; the peers' are not, but for the one that
says so.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from types import ModuleType
from typing import Any

import redis
import redis.asyncio
from django.conf import settings

from benchmarks.contestants import AsyncOperation, NotOffered
from benchmarks.floor import Operation
from benchmarks.servers import HOST

LEASE = 30.0
VALUE = b"x" * 40  # as long as a token


@dataclass(frozen=True)
class Handle:
    """One lock, to be taken and given back by one thread or task."""

    acquire: Callable[[], Any]
    release: Callable[[], Any]


class Locks:
    """The locks of one package, on one server.

    What it does not offer raises `NotOffered`. A method that begins with `a` is for
    asyncio, and called in the loop that will use what it returns.
    """

    name: str
    title: str
    distribution: str
    floor: str
    """Whose SET and GET its locks are compared with: the same client's."""

    def __init__(self, port: int) -> None:
        self.port = port

    @classmethod
    def version(cls) -> str:
        return metadata.version(cls.distribution)

    def lock(
        self, name: str, *, lease: float | None = None, patience: float | None = None
    ) -> Handle:
        """Return a lock that is waited for `patience` seconds at most.

        A `lease` in seconds is a hard one: it is not renewed.
        """
        raise NotOffered(self.name)

    def alock(self, name: str, *, patience: float | None = None) -> Handle:
        raise NotOffered(self.name)

    def fresh(self, name: str) -> AbstractContextManager[Any]:
        """Return a new lock for a `with` statement."""
        raise NotOffered(self.name)

    def afresh(self, name: str) -> AbstractAsyncContextManager[Any]:
        raise NotOffered(self.name)


class Ours(Locks):
    name = "ours"
    title = "Redpony"
    distribution = "redpony"
    floor = "ours: SET + GET"
    options: dict[str, Any] = {}

    def __init__(self, port: int) -> None:
        super().__init__(port)
        configure(port)
        from redpony.locks import Lock

        for option in self.options:
            if option not in inspect.signature(Lock).parameters:
                raise NotOffered(f"Lock has no {option}=")
        self._lock = partial(Lock, **self.options)

    def lock(
        self, name: str, *, lease: float | None = None, patience: float | None = None
    ) -> Handle:
        lock = self._lock(name, timeout=lease, blocking_timeout=patience)
        return Handle(lock.acquire, lock.release)

    def alock(self, name: str, *, patience: float | None = None) -> Handle:
        lock = self._lock(name, blocking_timeout=patience)
        return Handle(lock.aacquire, lock.arelease)

    def fresh(self, name: str) -> AbstractContextManager[Any]:
        return self._lock(name)

    def afresh(self, name: str) -> AbstractAsyncContextManager[Any]:
        return self._lock(name)


class OursPlain(Ours):
    """The mode of the server's own commands: no fence, no line."""

    name = "ours, plain"
    title = "Redpony, plain"
    options = {"plain": True}


class RedisPy(Locks):
    name = "redis-py"
    title = "redis-py"
    distribution = "redis"
    floor = "redis-py: SET + GET"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._client = redis.Redis(host=HOST, port=port)
        self._made: redis.asyncio.Redis | None = None

    def _aclient(self) -> redis.asyncio.Redis:
        if self._made is None:
            self._made = redis.asyncio.Redis(host=HOST, port=self.port)
        return self._made

    def lock(
        self, name: str, *, lease: float | None = None, patience: float | None = None
    ) -> Handle:
        lock = self._client.lock(
            name, timeout=lease or LEASE, blocking_timeout=patience
        )
        return Handle(lock.acquire, lock.release)

    def alock(self, name: str, *, patience: float | None = None) -> Handle:
        lock = self._aclient().lock(name, timeout=LEASE, blocking_timeout=patience)
        return Handle(lock.acquire, lock.release)

    def fresh(self, name: str) -> AbstractContextManager[Any]:
        return self._client.lock(name, timeout=LEASE)

    def afresh(self, name: str) -> AbstractAsyncContextManager[Any]:
        return self._aclient().lock(name, timeout=LEASE)


class RedisPyQueueing(RedisPy):
    """With a pool that lets the 101st caller wait instead of refusing it."""

    name = "redis-py, blocking pool"
    title = "redis-py, `BlockingConnectionPool`"

    def _aclient(self) -> redis.asyncio.Redis:
        if self._made is None:
            pool = redis.asyncio.BlockingConnectionPool(
                host=HOST, port=self.port, max_connections=50, timeout=None
            )
            self._made = redis.asyncio.Redis(connection_pool=pool)
        return self._made


class PythonRedisLock(Locks):
    name = "python-redis-lock"
    title = "python-redis-lock"
    distribution = "python-redis-lock"
    floor = RedisPy.floor
    renewed = False

    def __init__(self, port: int) -> None:
        super().__init__(port)
        import redis_lock

        client = redis.Redis(host=HOST, port=port)
        self._lock = partial(redis_lock.Lock, client, auto_renewal=self.renewed)

    def lock(
        self, name: str, *, lease: float | None = None, patience: float | None = None
    ) -> Handle:
        lock = self._lock(name, expire=lease or LEASE)
        return Handle(partial(lock.acquire, timeout=patience), lock.release)

    def fresh(self, name: str) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = self._lock(name, expire=LEASE)
        return found


class PythonRedisLockRenewed(PythonRedisLock):
    name = "python-redis-lock, renewed"
    title = "python-redis-lock, `auto_renewal`"
    renewed = True


class Pottery(Locks):
    name = "pottery"
    title = "pottery"
    distribution = "pottery"
    floor = RedisPy.floor

    def __init__(self, port: int) -> None:
        super().__init__(port)
        from pottery import AIORedlock, Redlock

        masters = {redis.Redis(host=HOST, port=port)}
        self._redlock = partial(Redlock, masters=masters)
        self._aioredlock = AIORedlock
        self._masters: set[redis.asyncio.Redis] = set()

    def _amasters(self) -> set[redis.asyncio.Redis]:
        if not self._masters:
            self._masters = {redis.asyncio.Redis(host=HOST, port=self.port)}
        return self._masters

    def lock(
        self, name: str, *, lease: float | None = None, patience: float | None = None
    ) -> Handle:
        lock = self._redlock(key=name, auto_release_time=lease or LEASE)
        timeout = -1 if patience is None else patience
        return Handle(partial(lock.acquire, timeout=timeout), lock.release)

    def alock(self, name: str, *, patience: float | None = None) -> Handle:
        lock = self._aioredlock(
            key=name, masters=self._amasters(), auto_release_time=LEASE
        )
        timeout = -1 if patience is None else patience
        return Handle(partial(lock.acquire, timeout=timeout), lock.release)

    def fresh(self, name: str) -> AbstractContextManager[Any]:
        return self._redlock(key=name, auto_release_time=LEASE)

    def afresh(self, name: str) -> AbstractAsyncContextManager[Any]:
        return self._aioredlock(
            key=name, masters=self._amasters(), auto_release_time=LEASE
        )


CONTESTANTS: tuple[type[Locks], ...] = (
    Ours,
    OursPlain,
    RedisPy,
    RedisPyQueueing,
    PythonRedisLock,
    PythonRedisLockRenewed,
    Pottery,
)
BY_NAME = {each.name: each for each in CONTESTANTS}

TITLES = {each.name: each.title for each in CONTESTANTS}


def without(names: Iterable[str], *left_out: type[Locks]) -> list[str]:
    """Return the names but those of some who would add nothing to a row."""
    return [name for name in names if BY_NAME[name] not in left_out]


def configure(port: int) -> None:
    """Have Django's default cache be ours on a server, unless this was done."""
    if settings.configured:
        return
    # A module, as projects have one: `settings.configure` makes settings that are slow
    # to say that something is not set.
    module: Any = ModuleType("settings_of_the_lock_rows")
    location = f"redis://{HOST}:{port}/0"
    module.CACHES = {
        "default": {"BACKEND": "redpony.cache.RedisCache", "LOCATION": location}
    }
    module.SECRET_KEY = "of the benchmarks, and of nothing else"
    module.USE_TZ = True
    module.LOGGING_CONFIG = None
    sys.modules[module.__name__] = module
    os.environ["DJANGO_SETTINGS_MODULE"] = module.__name__


# -- the floors -----------------------------------------------------------------


class OurFloor:
    """SET and GET by the link that our locks use, and by nothing above it."""

    name = Ours.floor

    def __init__(self, port: int) -> None:
        configure(port)
        from redpony.alias import alias_for
        from redpony.conf import alias_config

        self._alias = alias_for(alias_config("default"))

    def pair(self) -> Operation:
        from redpony.commands import GET, SET

        ask = self._alias.ask

        def operation() -> object:
            ask(SET("floor:ours", VALUE))
            return ask(GET("floor:ours"))

        return operation

    async def apair(self) -> AsyncOperation:
        from redpony.commands import GET, SET

        ask = self._alias.link.awaiting.ask

        async def operation() -> object:
            await ask(SET("floor:ours", VALUE))
            return await ask(GET("floor:ours"))

        return operation


class RedisPyFloor:
    """redis-py's own SET and GET."""

    name = RedisPy.floor

    def __init__(self, port: int) -> None:
        self._port = port

    def pair(self) -> Operation:
        client = redis.Redis(host=HOST, port=self._port)

        def operation() -> object:
            client.set("floor:redis-py", VALUE)
            return client.get("floor:redis-py")

        return operation

    async def apair(self) -> AsyncOperation:
        client = redis.asyncio.Redis(host=HOST, port=self._port)

        async def operation() -> object:
            await client.set("floor:redis-py", VALUE)
            found: Awaitable[object] = client.get("floor:redis-py")
            return await found

        return operation


# -- who takes part -------------------------------------------------------------


def try_out(name: str, port: int) -> dict[str, str]:
    """Take and give back a lock in both colours; return what failed, by colour."""
    failed: dict[str, str] = {}
    try:
        locks = BY_NAME[name](port)
        handle = locks.lock(f"trial:{name}")
        for _ in range(3):
            _sure(handle.acquire())
            handle.release()
    except Exception as error:  # reported in place of figures
        failed["sync"] = f"{type(error).__name__}: {error}"
        return failed
    try:
        asyncio.run(_atry_out(locks, f"trial:{name}"))
    except Exception as error:
        failed["async"] = f"{type(error).__name__}: {error}"
    return failed


async def _atry_out(locks: Locks, name: str) -> None:
    handle = locks.alock(name)
    for _ in range(3):
        _sure(await handle.acquire())
        await handle.release()


def _sure(had: Any) -> None:
    if not had:
        raise AssertionError("not acquired, and nobody had it")
