"""The cache object: its client, its locks, its lifetime, and subclasses of it."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest
import redis
from django.core.cache import caches

from redpony import aget_redis, get_redis
from redpony.cache import RedisCache
from tests.places import await_idle, pools


def test_the_client_encodes_keys_and_values(make_cache, server):
    cache = make_cache(KEY_PREFIX="p")
    client = cache.client
    assert client.make_key("k") == "p:1:k"
    assert client.make_key("k", version=2, prefix="q") == "q:2:k"
    assert client.make_pattern("k*", version=3) == "p:3:k*"
    assert client.reverse_key("p:1:a:b") == "a:b"
    raw = client.get_client(write=True)
    raw.set(client.make_key("k"), client.encode({"a": 1}, key="k"))
    assert cache.get("k") == {"a": 1}
    assert client.decode(raw.get("p:1:k"), key="k") == {"a": 1}
    assert client.decode(b"5") == client.decode(5) == client.decode("5") == 5
    assert client.keys("*") == ["k"]
    with pytest.raises(AttributeError):
        _ = client._nothing


@pytest.mark.forms("single")
def test_get_redis_is_redis_pys_client_without_retries(make_cache):
    make_cache()
    client = get_redis("default")
    assert isinstance(client, redis.Redis)
    assert client.ping()
    assert client is get_redis("default")
    retry = client.connection_pool.connection_kwargs["retry"]
    assert retry._retries == 0


def test_aget_redis_belongs_to_its_loop(make_cache, server):
    make_cache()

    async def work():
        client = aget_redis("default")
        assert client is aget_redis("default")
        await client.set(":1:raw", 1)
        assert await (await aget_redis("default")).get(":1:raw") == b"1"
        return client

    first = asyncio.run(work())
    before = len(server.users())
    assert asyncio.run(work()) is not first
    for _ in range(9):
        asyncio.run(work())
    # Who looks at a topology may have connected to a few more of its servers.
    assert len(server.users()) < before + 10


def test_a_lock_is_under_the_cache_key_and_excludes(make_cache, server):
    cache = make_cache()
    with cache.lock("job", timeout=10):
        assert server.client().exists(":1:job")
        assert cache.lock("job", timeout=10, blocking=False).acquire() is False
    assert not server.client().exists(":1:job")


def test_a_lock_in_asyncio_excludes_the_blocking_one(make_cache):
    cache = make_cache()

    async def work():
        async with cache.alock("job", timeout=10):
            assert cache.lock("job", blocking=False).acquire() is False
            other = cache.alock("job", timeout=10, blocking=False)
            assert await other.aacquire() is False
        last = cache.lock("job", timeout=10, blocking=False)
        assert last.acquire() is True
        last.release()

    asyncio.run(work())


def test_a_lock_that_is_not_owned_is_not_released(make_cache, server):
    cache = make_cache()
    lock = cache.lock("job", timeout=10)
    lock.acquire()
    server.client().set(":1:job", "somebody else's")
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.release()


def test_threads_share_one_pool_though_each_has_its_own_cache(make_cache, server):
    make_cache(POOL_SIZE=4)
    failures = []

    def work(number):
        try:
            cache = caches["default"]
            for turn in range(20):
                cache.set(f"k{number}", turn)
                assert cache.get(f"k{number}") == turn
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert max(pool.opened for pool in pools(caches["default"])) <= 4
    await_idle(caches["default"])


def test_methods_are_plain_functions_with_djangos_signature():
    assert inspect.iscoroutinefunction(RedisCache.aget)
    assert not inspect.iscoroutinefunction(RedisCache.get)
    assert list(inspect.signature(RedisCache.get).parameters) == [
        "self",
        "key",
        "default",
        "version",
    ]
    assert inspect.signature(RedisCache.aget) == inspect.signature(RedisCache.get)
    assert RedisCache.get.__name__ == "get"
    assert RedisCache.aget.__qualname__.endswith(".aget")
    assert RedisCache.get.__doc__


class Shouting(RedisCache):
    """Overrides a plan: both colours follow."""

    def _get(self, key, default=None, version=None):
        value = yield from super()._get(key, default, version)
        return value.upper() if isinstance(value, str) else value


class Quiet(RedisCache):
    """Overrides the blocking method only."""

    def get(self, key, default=None, version=None):
        value = super().get(key, default, version)
        return value.lower() if isinstance(value, str) else value


class Strict(RedisCache):
    """Refuses keys, as Django's documentation shows."""

    def validate_key(self, key):
        if "bad" in key:
            raise ValueError("no such key here")


def test_a_subclass_may_override_a_plan(make_cache, both):
    cache = both(make_cache(BACKEND=f"{__name__}.Shouting"))
    cache.set("key", "Value")
    assert cache.get("key") == "VALUE"
    assert cache.get_or_set("key", "else") == "VALUE"


def test_a_subclass_may_override_a_method(make_cache, both):
    cache = both(make_cache(BACKEND=f"{__name__}.Quiet"))
    cache.set("key", "Value")
    assert cache.get("key") == "value"


def test_a_subclass_may_validate_keys(make_cache, both):
    cache = both(make_cache(BACKEND=f"{__name__}.Strict"))
    cache.set("good", 1)
    for method, args in (
        ("get", ("bad",)),
        ("get_many", (["good", "bad"],)),
        ("set_many", ({"bad": 1},)),
        ("incr", ("bad",)),
        ("rpush", ("bad", 1)),
    ):
        with pytest.raises(ValueError, match="no such key here"):
            getattr(cache, method)(*args)


def test_containment(cache):
    cache.set("key", 1)
    assert "key" in cache
    assert "other" not in cache
