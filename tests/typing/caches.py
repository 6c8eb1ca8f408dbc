"""What type checkers see of the cache: plain results, in both colours."""

from __future__ import annotations

from typing import Any, assert_type

from redpony.cache import RedisCache


async def results(cache: RedisCache) -> None:
    assert_type(cache.get("a"), Any)
    assert_type(await cache.aget("a"), Any)
    assert_type(cache.incr("a"), int)
    assert_type(await cache.aincr("a"), int)
    assert_type(cache.add("a", 1), bool)
    assert_type(await cache.aadd("a", 1), bool)
    assert_type(cache.ttl("a"), int | None)
    assert_type(await cache.attl("a"), int | None)
    assert_type(cache.get_many(["a"]), dict[Any, Any])
    assert_type(await cache.aget_many(["a"]), dict[Any, Any])
