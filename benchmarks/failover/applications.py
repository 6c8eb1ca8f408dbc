"""What an application has in its hands: one client of each kind, by LOCATION.

All have the settings that one gets by naming the place and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import django
import redis
from django.conf import settings
from redis.cluster import ClusterNode
from redis.sentinel import Sentinel

Write = Callable[[str, int], Any]


def cache(location: str, **options: Any) -> Any:
    """Return Redpony's cache at a place."""
    settings.configure(
        CACHES={
            "default": {
                "BACKEND": "redpony.cache.RedisCache",
                "LOCATION": location,
                "OPTIONS": options,
            }
        },
        SECRET_KEY="of the benchmarks, and of nothing else",
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()
    # What it says of the failover is not what is measured.
    logging.getLogger("redpony").addHandler(logging.NullHandler())
    logging.getLogger("redpony").propagate = False
    from django.core.cache import caches

    return caches["default"]


def ours(location: str) -> Write:
    return cache(location).set


def ours_asyncio(location: str) -> Write:
    runner = asyncio.Runner()
    used = cache(location)

    async def write(key: str, value: int) -> None:
        await used.aset(key, value)

    return lambda key, value: runner.run(write(key, value))


def redis_py(location: str) -> Write:
    """Return redis-py's `set`, of the client that it has for this kind of place."""
    scheme, _, rest = location.partition("://")
    hosts, _, path = rest.partition("/")
    places = [each.rsplit(":", 1) for each in hosts.split(",")]
    client: Any
    if scheme.endswith("sentinel"):
        sentinel = Sentinel([(host, int(port)) for host, port in places])
        client = sentinel.master_for(path.partition("/")[0])
    else:
        nodes = [ClusterNode(host, int(port)) for host, port in places]
        client = redis.RedisCluster(startup_nodes=nodes)
    return client.set


APPLICATIONS: dict[str, Callable[[str], Write]] = {
    "ours": ours,
    "ours, asyncio": ours_asyncio,
    "redis-py": redis_py,
}
