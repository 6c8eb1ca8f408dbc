"""What a cluster costs: `get_many` of 300 keys, over three primaries and on one server.

Three servers can work at the same time; a client that asks them one after the other
throws that away. Ours against ours, and redis-py's cluster client (whose values
nobody decodes) against its plain one, in the same rounds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio
from django.core.cache import caches

from benchmarks.interleave import Effort, Sample
from benchmarks.results import ratio
from benchmarks.rows import MANY
from benchmarks.servers import HOST, Measured
from tests.servers import Cluster

SCENE = "cluster:ours"
COUNT = 300
KEYS = [f"spread:{i:03}" for i in range(COUNT)]
VALUES = dict(zip(KEYS, list(MANY.values()) * 3, strict=True))

Ask = Callable[[], Any]
Pairs = list[tuple[Sample, Sample]]


def measure(server: Measured, cluster: Cluster, effort: Effort) -> dict[str, Any]:
    """Return how much longer the cluster takes, by colour and client."""
    with asyncio.Runner() as runner:
        return {
            "sync": _sync(server, cluster, effort),
            "async": runner.run(_async(server, cluster, effort)),
        }


def _sync(server: Measured, cluster: Cluster, effort: Effort) -> dict[str, Any]:
    one: Any = caches["ours"]
    several: Any = caches[SCENE]
    for cache in (one, several):
        cache.set_many(VALUES)
        assert cache.get_many(KEYS) == VALUES
    found = {
        "ours": _compare(
            lambda: one.get_many(KEYS), lambda: several.get_many(KEYS), effort
        )
    }
    node = cluster.primaries[0]
    with (
        redis.Redis(host=HOST, port=server.port) as plain,
        redis.RedisCluster(host=node.host, port=node.port) as spread,
    ):
        for client in (plain, spread):
            for key in KEYS:
                client.set(key, b"x" * 100)
        found["redis-py"] = _compare(
            lambda: plain.mget(KEYS), lambda: spread.mget_nonatomic(KEYS), effort
        )
    return found


def _compare(one: Ask, several: Ask, effort: Effort) -> dict[str, Any]:
    pairs: Pairs = []
    count = max(1, int(effort.seconds / (_timed(several, 3).wall / 1e6)))
    for _ in range(effort.rounds):
        pairs.append((_timed(several, count), _timed(one, count)))
    return _figures(pairs)


def _timed(ask: Ask, count: int) -> Sample:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        ask()
    return _sample(wall, cpu, count)


async def _async(server: Measured, cluster: Cluster, effort: Effort) -> dict[str, Any]:
    one: Any = caches["ours"]
    several: Any = caches[SCENE]

    async def ours(cache: Any) -> None:
        await cache.aget_many(KEYS)

    assert await several.aget_many(KEYS) == await one.aget_many(KEYS) == VALUES
    found = {"ours": await _acompare(lambda: ours(one), lambda: ours(several), effort)}
    node = cluster.primaries[0]
    async with (
        redis.asyncio.Redis(host=HOST, port=server.port) as plain,
        redis.asyncio.RedisCluster(host=node.host, port=node.port) as spread,
    ):
        found["redis-py"] = await _acompare(
            lambda: plain.mget(KEYS), lambda: spread.mget_nonatomic(KEYS), effort
        )
    return found


async def _acompare(
    one: Callable[[], Awaitable[Any]],
    several: Callable[[], Awaitable[Any]],
    effort: Effort,
) -> dict[str, Any]:
    pairs: Pairs = []
    count = max(1, int(effort.seconds / ((await _atimed(several, 3)).wall / 1e6)))
    for _ in range(effort.rounds):
        pairs.append((await _atimed(several, count), await _atimed(one, count)))
    return _figures(pairs)


async def _atimed(ask: Callable[[], Awaitable[Any]], count: int) -> Sample:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        await ask()
    return _sample(wall, cpu, count)


def _sample(wall: float, cpu: float, count: int) -> Sample:
    return Sample(
        (time.perf_counter() - wall) / count * 1e6,
        (time.process_time() - cpu) / count * 1e6,
    )


def _figures(pairs: Pairs) -> dict[str, Any]:
    ordered = sorted(several.wall for several, _ in pairs)
    return {
        "wall_us": ordered[len(ordered) // 2],
        "of_one_server": ratio(pairs),
        "rounds": len(pairs),
    }
