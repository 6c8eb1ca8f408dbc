"""Who is measured: Redpony, its peers, redis-py and the floors.

All share one process and one server, each under a key prefix of its own, with
the settings that a project gets by naming the backend and the server's URL and
nothing else. A contestant hands out one callable a row; one that raises
`NotOffered` has no such operation.
"""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import Any

import redis
import redis.asyncio
from django.core.cache import caches

from benchmarks.floor import BareProtocol, BareSocket, Operation, pack
from benchmarks.rows import LARGE, MANY, SMALL, TIMEOUT, Row
from benchmarks.servers import HOST

AsyncOperation = Callable[[], Awaitable[object]]

BACKENDS = {
    "ours": "redpony.cache.RedisCache",
    "django": "django.core.cache.backends.redis.RedisCache",
    "django-redis": "django_redis.cache.RedisCache",
    "django-valkey": "django_valkey.cache.ValkeyCache",
}
ASYNC_BACKENDS = {
    **BACKENDS,
    "django-valkey": "django_valkey.async_cache.cache.AsyncValkeyCache",
}
PEERS = ("django", "django-redis", "django-valkey")
DISTRIBUTIONS = {
    "ours": "redpony",
    "django": "Django",
    "django-redis": "django-redis",
    "django-valkey": "django-valkey",
    "redis-py": "redis",
}


class NotOffered(Exception):
    """The contestant has no such operation."""


def cache_settings(ports: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return `CACHES`: an alias for every scene, backend and colour.

    `ports` names the scenes ("" for the rows). An alias is the scene's name and
    the contestant's; the one for asyncio starts with `a:`.
    """
    found: dict[str, dict[str, Any]] = {}
    for scene, port in ports.items():
        for colour, backends in (("", BACKENDS), ("a:", ASYNC_BACKENDS)):
            for name, backend in backends.items():
                scheme = "valkey" if name == "django-valkey" else "redis"
                # A database of its own gives each alias connections of its own,
                # which the server can tell apart. django-valkey needs it: it
                # keys its pools by URL alone, blocking and asyncio alike.
                found[colour + scene + name] = {
                    "BACKEND": backend,
                    "LOCATION": f"{scheme}://{HOST}:{port}/{len(found)}",
                    "KEY_PREFIX": f"bench-{name}",
                    "TIMEOUT": TIMEOUT,
                }
    return found


class Backend:
    """A Django cache backend, by its alias."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = metadata.version(DISTRIBUTIONS[name])
        cache: Any = caches[name]
        cache.set("small", SMALL)
        cache.set_many(MANY)
        cache.set("large", LARGE)
        cache.set("count", 1, None)

    def sync(self, row: Row) -> Operation:
        """Return one row's operation for the calling thread."""
        cache: Any = caches[self.name]
        operations: dict[str, Operation] = {
            "get": lambda: cache.get("small"),
            "set": lambda: cache.set("small", SMALL),
            "incr": lambda: cache.incr("count"),
            "missing": lambda: cache.get("missing"),
            "get_many": lambda: cache.get_many(MANY),
            "set_many": lambda: cache.set_many(MANY),
            "get_large": lambda: cache.get("large"),
            "set_large": lambda: cache.set("large", LARGE),
            "threads": lambda: cache.get("small"),
        }
        return operations[row.name]

    async def asynchronous(self, row: Row) -> AsyncOperation:
        """Return one row's operation for the running event loop."""
        cache: Any = caches[f"a:{self.name}"]
        await cache.aset("small", SMALL)

        def operation() -> Awaitable[object]:
            found: Awaitable[object] = cache.aget("small")
            return found

        return operation


class RedisPy:
    """redis-py alone: nothing encoded, nothing decoded."""

    name = "redis-py"

    def __init__(self, port: int) -> None:
        self.version = metadata.version("redis")
        self._port = port
        self._client = redis.Redis(host=HOST, port=port)
        self._small = pickle.dumps(SMALL)
        self._many = {f"py:{k}": pickle.dumps(v) for k, v in MANY.items()}
        self._client.set("py:small", self._small)
        self._client.mset(self._many)
        self._client.set("py:large", LARGE)

    def sync(self, row: Row) -> Operation:
        client, small, many = self._client, self._small, self._many
        names = list(many)

        def set_many() -> object:
            pipeline = client.pipeline(transaction=False)
            for name, value in many.items():
                pipeline.set(name, value, ex=TIMEOUT)
            return pipeline.execute()

        operations: dict[str, Operation] = {
            "get": lambda: client.get("py:small"),
            "set": lambda: client.set("py:small", small, ex=TIMEOUT),
            "incr": lambda: client.incrby("py:count", 1),
            "missing": lambda: client.get("py:missing"),
            "get_many": lambda: client.mget(names),
            "set_many": set_many,
            "get_large": lambda: client.get("py:large"),
            "set_large": lambda: client.set("py:large", LARGE, ex=TIMEOUT),
            "threads": lambda: client.get("py:small"),
        }
        return operations[row.name]

    async def asynchronous(self, row: Row) -> AsyncOperation:
        # The default pool refuses the 101st caller; this one lets them wait.
        pool = redis.asyncio.BlockingConnectionPool(
            host=HOST, port=self._port, max_connections=50, timeout=None
        )
        client = redis.asyncio.Redis(connection_pool=pool)
        return lambda: client.get("py:small")


class Floor:
    """The bare socket and the bare protocol."""

    name = "floor"
    version = ""

    def __init__(self, port: int) -> None:
        self._port = port
        small = pickle.dumps(SMALL)
        many = {f"floor:{k}": pickle.dumps(v) for k, v in MANY.items()}
        life = ("PX", str(TIMEOUT * 1000))
        bare = BareSocket(HOST, port)
        bare.ask(pack("SET", "floor:small", small))
        bare.ask(pack("SET", "floor:large", LARGE))
        bare.ask(pack("MSET", *(word for pair in many.items() for word in pair)))
        bare.close()
        self._small_size = _bulk_size(small)
        self._get = pack("GET", "floor:small")
        self._set = pack("SET", "floor:small", small, *life)
        self._get_many = pack("MGET", *many)
        self._set_many = b"".join(pack("SET", k, v, *life) for k, v in many.items())
        self._set_large = pack("SET", "floor:large", LARGE, *life)

    def sync(self, row: Row) -> Operation:
        bare = BareSocket(HOST, self._port)
        ok = len(b"+OK\r\n")
        match row.name:
            case "get" | "threads":
                return bare.sized(self._get, self._small_size)
            case "set":
                return bare.sized(self._set, ok)
            case "incr":
                return bare.line(pack("INCRBY", "floor:count", "1"))
            case "missing":
                return bare.sized(pack("GET", "floor:missing"), len(b"$-1\r\n"))
            case "get_many":
                return bare.parsed(self._get_many)
            case "set_many":
                return bare.sized(self._set_many, ok * len(MANY))
            case "get_large":
                return bare.sized(pack("GET", "floor:large"), _bulk_size(LARGE))
            case "set_large":
                return bare.sized(self._set_large, ok)
            case _:
                raise NotOffered(row.name)

    async def asynchronous(self, row: Row) -> AsyncOperation:
        import asyncio

        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: BareProtocol(eager=row.concurrency == 1), HOST, self._port
        )
        request = self._get
        return lambda: protocol.ask(request)


Contestant = Backend | RedisPy | Floor


def checks(contestant: Contestant, row: Row, answer: Any) -> bool:
    """Say whether an answer is right; raw clients need only have answered."""
    if isinstance(contestant, Backend):
        return row.check(answer)
    return row.name == "missing" or answer is not None


def line_up(port: int) -> tuple[list[Contestant], dict[str, str]]:
    """Return who takes part, and why the others do not."""
    present: list[Contestant] = [Floor(port), RedisPy(port)]
    absent: dict[str, str] = {}
    for name in BACKENDS:
        try:
            present.append(Backend(name))
        except Exception as error:  # a peer that does not work is reported
            absent[name] = f"{type(error).__name__}: {error}"
    return present, absent


def _bulk_size(value: bytes) -> int:
    return len(b"$%d\r\n" % len(value)) + len(value) + 2
