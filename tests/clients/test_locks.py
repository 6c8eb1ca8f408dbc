"""`cache.lock` excludes wherever the alias lives, and after a failover too."""

from __future__ import annotations

import asyncio
import threading

import pytest
import redis

from tests.places import ALL
from tests.servers import Cluster, Sentinel, until

PATIENT = {"CONNECT_TIMEOUT": 10, "DEADLINE": 10}


@pytest.fixture(params=ALL)
def place(request, places):
    return places.fresh(request.param)


def test_a_lock_can_be_held_extended_and_released(cache_on, place):
    cache = cache_on(place, **PATIENT)
    with cache.lock("job", timeout=30) as lock:
        assert lock.owned()
        assert lock.extend(10)
        assert lock.reacquire()

    assert "job" not in cache


def test_a_lock_of_asyncio_can_be_held_extended_and_released(cache_on, place):
    cache = cache_on(place, **PATIENT)

    async def work():
        async with cache.alock("job", timeout=30) as lock:
            assert await lock.aowned()
            assert await lock.aextend(10)
            assert await lock.areacquire()

    asyncio.run(work())

    assert "job" not in cache


def test_one_of_many_has_it_at_a_time(cache_on, place):
    cache = cache_on(place, **PATIENT)
    inside, most, failures = 0, 0, []

    def work():
        nonlocal inside, most
        try:
            for _ in range(3):
                with cache.lock("job", timeout=60, sleep=0.005):
                    inside += 1
                    most = max(most, inside)
                    inside -= 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert most == 1


def test_locks_of_a_cluster_lie_with_their_keys(cache_on, places):
    cluster = places.fresh("valkey-cluster")
    cache = cache_on(cluster, **PATIENT)
    names = [f"job{number}" for number in range(12)]
    locks = [cache.lock(name, timeout=30) for name in names]

    assert all(lock.acquire(blocking=False) for lock in locks)
    assert all(
        cluster.node_for(f":1:{name}").client().exists(f":1:{name}") for name in names
    )


def takes(cache, colour) -> bool:
    """Take the lock and give it back; return whether it could be had."""

    async def work() -> bool:
        async with cache.alock("job", timeout=30, blocking=False):
            return True

    try:
        if colour.is_async:
            return colour.run(work())
        with cache.lock("job", timeout=30, blocking=False):
            return True
    except (redis.RedisError, redis.exceptions.RedisClusterException):
        return False


def test_a_lock_can_be_had_after_a_failover(cache_on, colour):
    with Sentinel("redis") as servers:
        cache = cache_on(servers, **PATIENT)
        assert takes(cache, colour)
        old = servers.primary
        old.kill()
        servers.await_primary_other_than(old)

        until(lambda: takes(cache, colour), "a lock could be had again")


def test_a_lock_can_be_had_after_the_failover_of_its_node(cache_on, colour):
    with Cluster("redis") as cluster:
        cache = cache_on(cluster, **PATIENT)
        assert takes(cache, colour)
        cluster.kill(cluster.node_for(":1:job"))

        until(lambda: takes(cache, colour), "a lock could be had again")
