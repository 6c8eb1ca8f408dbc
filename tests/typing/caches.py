"""What type checkers see of the cache: both colours, from one body each.

No test is run here: `make types` reads this file with mypy and pyright.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from types import CoroutineType
from typing import Any, assert_type

import redis
import redis.asyncio
from django.core.cache import BaseCache

from redpony import aget_redis, get_redis
from redpony.cache import RedisCache


def is_a_cache_of_django(cache: RedisCache) -> BaseCache:
    return cache


def values(cache: RedisCache) -> None:
    assert_type(cache.get("a"), Any)
    assert_type(cache.get("a", 1, version=2), Any)
    assert_type(cache.add("a", 1, 5), bool)
    assert_type(cache.delete("a"), bool)
    assert_type(cache.touch("a", 5), bool)
    assert_type(cache.has_key("a"), bool)
    assert_type(cache.get_many(["a", "b"]), dict[Any, Any])
    assert_type(cache.set_many({"a": 1}, timeout=5), list[Any])
    assert_type("a" in cache, bool)


async def avalues(cache: RedisCache) -> None:
    assert_type(await cache.aget("a"), Any)
    assert_type(await cache.aadd("a", 1), bool)
    assert_type(await cache.adelete("a"), bool)
    assert_type(await cache.atouch("a"), bool)
    assert_type(await cache.ahas_key("a"), bool)
    assert_type(await cache.aget_many(["a"]), dict[Any, Any])
    assert_type(await cache.aset_many({"a": 1}), list[Any])


def a_twin_is_a_coroutine_until_it_is_awaited(cache: RedisCache) -> None:
    _ = assert_type(cache.aincr("a"), CoroutineType[Any, Any, int])


async def what_pyright_reads_as_django_declares_it(cache: RedisCache) -> None:
    # pyright takes an assigned name's type from the base class, so that these say
    # None, and Any | None, there; mypy has what they return.
    assert_type(cache.set("a", 1), bool)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(cache.clear(), bool)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(cache.delete_many(["a"]), int | None)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(cache.get_or_set("a", 1), Any)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(await cache.aset("a", 1), bool)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(await cache.aclear(), bool)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(await cache.adelete_many(["a"]), int | None)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(await cache.aget_or_set("a", 1), Any)  # pyright: ignore[reportAssertTypeFailure]
    cache.set("a", 1, nx=True)  # pyright: ignore[reportCallIssue]


def counters(cache: RedisCache) -> None:
    assert_type(cache.incr("a"), int)
    assert_type(cache.incr("a", 2, version=1), int)
    assert_type(cache.decr("a", 2), int)
    assert_type(cache.incr_version("a"), int)
    assert_type(cache.decr_version("a"), int)


async def acounters(cache: RedisCache) -> None:
    assert_type(await cache.aincr("a"), int)
    assert_type(await cache.adecr("a"), int)
    assert_type(await cache.aincr_version("a"), int)
    assert_type(await cache.adecr_version("a"), int)


def expiry(cache: RedisCache, when: datetime) -> None:
    assert_type(cache.ttl("a"), int | None)
    assert_type(cache.pttl("a"), int | None)
    assert_type(cache.expire("a", 5), bool)
    assert_type(cache.expire("a", timedelta(seconds=5)), bool)
    assert_type(cache.pexpire("a", 5000), bool)
    assert_type(cache.expire_at("a", when), bool)
    assert_type(cache.pexpire_at("a", when), bool)
    assert_type(cache.persist("a"), bool)


async def aexpiry(cache: RedisCache, when: datetime) -> None:
    assert_type(await cache.attl("a"), int | None)
    assert_type(await cache.apttl("a"), int | None)
    assert_type(await cache.aexpire("a", 5), bool)
    assert_type(await cache.apexpire("a", 5000), bool)
    assert_type(await cache.aexpire_at("a", when), bool)
    assert_type(await cache.apexpire_at("a", when), bool)
    assert_type(await cache.apersist("a"), bool)


def key_space(cache: RedisCache) -> None:
    assert_type(cache.keys("a*"), list[str])
    assert_type(cache.iter_keys("a*"), Iterator[str])
    assert_type(cache.delete_pattern("a*", itersize=10), int)


async def akey_space(cache: RedisCache) -> None:
    assert_type(await cache.akeys("a*"), list[str])
    assert_type(cache.aiter_keys("a*"), AsyncIterator[str])
    async for key in cache.aiter_keys("a*"):
        assert_type(key, str)
    assert_type(await cache.adelete_pattern("a*"), int)


def structures(cache: RedisCache) -> None:
    assert_type(cache.hset("h", "f", 1), int)
    assert_type(cache.hset("h", mapping={"f": 1}), int)
    assert_type(cache.hget("h", "f"), Any)
    assert_type(cache.hgetall("h"), dict[str, Any])
    assert_type(cache.hmget("h", ["f"]), dict[str, Any])
    assert_type(cache.hincrby("h", "f", 2), int)
    assert_type(cache.hkeys("h"), list[str])
    assert_type(cache.sadd("s", 1, 2), int)
    assert_type(cache.smembers("s"), set[Any])
    assert_type(cache.sismember("s", 1), bool)
    assert_type(cache.smismember("s", 1, 2), list[bool])
    assert_type(cache.zadd("z", {"a": 1.0}), Any)
    assert_type(cache.zscore("z", "a"), float | None)
    assert_type(cache.zrange("z", 0, -1), list[Any])
    assert_type(cache.lpush("l", 1, 2), int)
    assert_type(cache.lrange("l", 0, -1), list[Any])
    assert_type(cache.llen("l"), int)


async def astructures(cache: RedisCache) -> None:
    assert_type(await cache.ahset("h", "f", 1), int)
    assert_type(await cache.ahget("h", "f"), Any)
    assert_type(await cache.ahgetall("h"), dict[str, Any])
    assert_type(await cache.asadd("s", 1, 2), int)
    assert_type(await cache.asmembers("s"), set[Any])
    assert_type(await cache.azadd("z", {"a": 1.0}), Any)
    assert_type(await cache.azscore("z", "a"), float | None)
    assert_type(await cache.alpush("l", 1, 2), int)
    assert_type(await cache.alrange("l", 0, -1), list[Any])


def below(cache: RedisCache) -> None:
    assert_type(cache.client.encode({"a": 1}), bytes)
    assert_type(cache.client.make_key("a"), str)
    assert_type(cache.make_pattern("a*"), str)
    assert_type(get_redis("default"), redis.Redis)
    assert_type(aget_redis("default"), redis.asyncio.Redis)


def methods_are_callables_of_their_arguments(cache: RedisCache) -> None:
    check: Callable[[str], bool] = cache.has_key
    assert_type(check("a"), bool)


def what_does_not_fit_is_refused(cache: RedisCache) -> None:
    # mypy reports an ignore that nothing needs.
    cache.incr("a", "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _ = cache.aincr("a", "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.set("a", 1, timout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.keys(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
