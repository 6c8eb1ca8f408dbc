"""`get_redis` and `aget_redis`: redis-py's clients, for what we do not wrap.

They are configured as the alias is and reach the servers that it reaches, with
redis-py's retries off: those repeat what must not be repeated. One client a
process for threads, and one for each event loop, which closes it when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, cast

from redpony.clients import single
from redpony.conf import AliasConfig, alias_config
from redpony.connections import link_for, when_closing
from redpony.wire.config import Cluster, LinkConfig, Topology

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from redpony.wire.topology.link import TopologyLink

Key = tuple[LinkConfig, Topology | None]

_clients: Final[dict[Key, Any]] = {}
_aclients: Final[dict[tuple[asyncio.AbstractEventLoop, Key], _LoopClient]] = {}
_lock = threading.Lock()


def get_redis(alias: str = "default") -> redis.Redis:
    """Return redis-py's client for an alias, for what Redpony does not wrap.

    One client and pool a process. It does not retry. Where there are replicas, each
    connection is to the server that is the primary when it is taken from the pool.
    For a cluster it is a `redis.RedisCluster`, which asks the cluster's nodes when it
    is made; raises `Unavailable` where none answers. Keys and values are the server's:
    `caches[alias].make_key` and `caches[alias].client.encode` make them.
    """
    return redis_client(alias_config(alias))


def aget_redis(alias: str = "default") -> redis.asyncio.Redis:
    """Return redis-py's asyncio client for an alias and the running event loop.

    As `get_redis`; the one for a cluster is a `redis.asyncio.RedisCluster`. The
    client is closed with the loop. It may be awaited (which connects), or used as it
    is.
    """
    return aredis_client(alias_config(alias))


def redis_client(config: AliasConfig) -> redis.Redis:
    """Return the process' blocking redis-py client for a configuration."""
    key = (config.link, config.topology)
    client = _clients.get(key)
    if client is None:
        # Not under the lock, for a cluster's asks the network.
        made = _make(key)
        with _lock:
            client = _clients.setdefault(key, made)
        if client is not made:
            _disconnect(made)
    return client  # type: ignore[no-any-return]


def aredis_client(config: AliasConfig) -> redis.asyncio.Redis:
    """Return the running loop's redis-py client for a configuration."""
    loop = asyncio.get_running_loop()
    key = (config.link, config.topology)
    entry = _aclients.get((loop, key))
    if entry is None:
        for other in list(_aclients):
            if other[0].is_closed():
                _aclients.pop(other, None)
        entry = _LoopClient(loop, key)
        _aclients[loop, key] = entry
        entry.start()
    return entry.client  # type: ignore[no-any-return]


class _LoopClient:
    """An asyncio client that is closed when its loop ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, key: Key) -> None:
        self.client = _amake(key)
        self._place = (loop, key)
        self._keeper = self._keep()

    def start(self) -> None:
        # The generator does not suspend before its first value, so that it can
        # be started without awaiting; the loop ends it in shutdown_asyncgens.
        with contextlib.suppress(StopIteration):
            self._keeper.__anext__().send(None)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _aclients.pop(self._place, None)
            await self.client.aclose()


def _make(key: Key) -> Any:
    config, topology = key
    if topology is None:
        return single.blocking(config)
    if isinstance(topology, Cluster):
        from redpony.clients import cluster

        return cluster.blocking(config, topology)
    from redpony.clients import following

    return following.blocking(_link(config, topology))


def _amake(key: Key) -> Any:
    config, topology = key
    if topology is None:
        return single.awaiting(config)
    if isinstance(topology, Cluster):
        from redpony.clients import cluster

        return cluster.awaiting(config, topology)
    from redpony.clients import following

    return following.awaiting(_link(config, topology))


def _link(config: LinkConfig, topology: Topology) -> TopologyLink:
    # With a topology it is one.
    return cast("TopologyLink", link_for(config, topology))


def _close() -> None:
    for client in list(_clients.values()):
        _disconnect(client)


def _disconnect(client: Any) -> None:
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        client.disconnect_connection_pools()
    else:
        pool.disconnect()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _aclients.clear()
    for key in [each for each in _clients if isinstance(each[1], Cluster)]:
        # A cluster's client has a lock of its own, which a thread may have held.
        del _clients[key]


when_closing(_close)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
