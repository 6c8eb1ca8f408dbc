"""redis-py's clients for a cluster."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import ContextVar
from typing import Any, Final

import redis
import redis.asyncio as aredis
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from redpony.clients import single
from redpony.errors import Unreachable
from redpony.wire.config import Cluster, LinkConfig

_UNBOUNDED: Final = 2**31

_inside: ContextVar[bool] = ContextVar("in a command of a cluster's client")


def blocking(config: LinkConfig, topology: Cluster) -> redis.RedisCluster:
    """Return a client for threads; asks the cluster's nodes for its slots.

    Raises `Unreachable` if none of those that LOCATION names answers.
    """
    first = topology.seeds[0]
    host = f"[{first.host}]" if ":" in first.host else first.host
    try:
        return redis.RedisCluster(
            # Only a client that has a URL takes a class of pools.
            url=f"redis://{host}:{first.port}",
            startup_nodes=[
                ClusterNode(each.host, each.port)  # type: ignore[no-untyped-call]
                for each in topology.seeds[1:]
            ],
            connection_pool_class=_pool_class(config),
            retry=Retry(NoBackoff(), 0),
            **_common(config, topology, redis.RedisCluster),
        )
    except RedisClusterException as error:
        raise _nobody(error) from error


def awaiting(config: LinkConfig, topology: Cluster) -> aredis.RedisCluster:
    """Return a client for the running event loop; it connects when it is used."""
    kwargs = _common(config, topology, aredis.RedisCluster)
    if config.tls is not None:
        kwargs["ssl"] = True
        kwargs.update(single.tls_arguments(config.tls, aredis.RedisCluster))
    return _Bounded(
        config.pool_size,
        startup_nodes=[
            AsyncClusterNode(each.host, each.port) for each in topology.seeds
        ],
        socket_keepalive=config.keepalive,
        max_connections=_UNBOUNDED,
        retry=AsyncRetry(NoBackoff(), 0),
        **kwargs,
    )


def _common(config: LinkConfig, topology: Cluster, taker: Any) -> dict[str, Any]:
    kwargs = single.common(config)
    if topology.remap is not None:
        remap = topology.remap
        kwargs["address_remap"] = lambda address: remap(*address)
    if int(redis.__version__.partition(".")[0]) < 6:
        # Later releases go by `retry` alone.
        kwargs["cluster_error_retry_attempts"] = 0
    if "connection_error_retry_attempts" in inspect.signature(taker).parameters:
        kwargs["connection_error_retry_attempts"] = 0
    # The server knows whether it answers while slots are without a node.
    kwargs["require_full_coverage"] = False
    return kwargs


def _pool_class(config: LinkConfig) -> type[redis.ConnectionPool]:
    """Return a class of pools that wait, with all that the configuration says.

    `RedisCluster` drops arguments that it does not know, and in some releases those
    are a check of the host's name, or ciphers.
    """
    given = single.arguments(config, redis)
    given |= {"max_connections": config.pool_size, "timeout": int(single.PATIENCE)}
    for name in ("host", "port", "db"):
        given.pop(name, None)

    class Pool(redis.BlockingConnectionPool):
        def __init__(self, **kwargs: Any) -> None:
            kwargs.update(given)
            super().__init__(**kwargs)  # type: ignore[no-untyped-call]

    return Pool


def _nobody(error: RedisClusterException) -> Unreachable:
    return Unreachable(f"No node of the cluster answers that LOCATION names: {error}")


class _Bounded(aredis.RedisCluster):
    """A client whose commands wait for one another, as those of a pool do.

    redis-py's own raises where all connections to a node are in use.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._places = asyncio.Semaphore(size)

    async def initialize(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().initialize(*args, **kwargs)
        except RedisClusterException as error:
            raise _nobody(error) from error

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        if _inside.get(False):
            return await super().execute_command(*args, **kwargs)
        async with self._places:
            token = _inside.set(True)
            try:
                return await super().execute_command(*args, **kwargs)
            finally:
                _inside.reset(token)
