"""redis-py's clients for a primary with replicas, wherever it is just now.

A pool of pools: a connection is taken from the pool of the server that leads at
that moment, as our own link knows it, and goes back to where it came from. So the
clients follow a failover as the cache does, by the same knowledge. A server is
asked for its role when a connection to it is opened: a primary of yesterday that
comes back is not written to.
"""

from __future__ import annotations

import time
from typing import Any

import redis
import redis.asyncio as aredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from redpony.clients import single
from redpony.errors import NotPrimary
from redpony.wire.config import LinkConfig
from redpony.wire.topology.link import TopologyLink
from redpony.wire.topology.shape import Shape

_PRIMARY = ("master", b"master", "primary", b"primary")
_UNOPENED = (redis.ConnectionError, redis.TimeoutError, OSError)


def blocking(link: TopologyLink) -> redis.Redis:
    """Return a client for threads."""
    return redis.Redis(connection_pool=FollowingPool(link))


def awaiting(link: TopologyLink) -> aredis.Redis:
    """Return a client for the running event loop."""
    return aredis.Redis.from_pool(AsyncFollowingPool(link))


class FollowingPool(redis.ConnectionPool):
    """Lends connections to whichever server is the primary."""

    def __init__(self, link: TopologyLink) -> None:
        config = link.config
        super().__init__(
            db=config.db, protocol=config.protocol, retry=Retry(NoBackoff(), 0)
        )
        self._link = link
        self._by_server: dict[LinkConfig, redis.ConnectionPool] = {}
        self._lent: dict[Any, redis.ConnectionPool] = {}

    def get_connection(self, *names: Any, **options: Any) -> Any:
        link = self._link
        expires = time.monotonic() + link.config.connect_timeout
        pool = self._leading(link.find(expires))
        try:
            connection = pool.get_connection(*names, **options)
        except _UNOPENED:
            # Nothing was sent. It may not lead any more.
            link.look(expires - time.monotonic())
            now = self._leading(link.shape)
            if now is pool:
                raise
            pool = now
            connection = pool.get_connection(*names, **options)
        self._lent[connection] = pool
        return connection

    def release(self, connection: Any) -> None:
        pool = self._lent.pop(connection, None)
        if pool is not None:
            pool.release(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        for pool in list(self._by_server.values()):
            pool.disconnect()

    def _leading(self, shape: Shape) -> redis.ConnectionPool:
        config = shape.primaries[0].config
        pool = self._by_server.get(config)
        if pool is None:
            made = single.pool(config, _kind(_Led, self._link))
            pool = self._by_server.setdefault(config, made)
        return pool


class AsyncFollowingPool(aredis.ConnectionPool):
    """Lends connections to whichever server is the primary, in one event loop."""

    def __init__(self, link: TopologyLink) -> None:
        config = link.config
        super().__init__(
            db=config.db, protocol=config.protocol, retry=AsyncRetry(NoBackoff(), 0)
        )
        self._link = link
        self._by_server: dict[LinkConfig, aredis.ConnectionPool] = {}
        self._lent: dict[Any, aredis.ConnectionPool] = {}

    async def get_connection(self, *names: Any, **options: Any) -> Any:
        link = self._link
        expires = time.monotonic() + link.config.connect_timeout
        pool = self._leading(await link.afind(link.config.connect_timeout))
        try:
            connection = await pool.get_connection(*names, **options)  # type: ignore[no-untyped-call]
        except _UNOPENED:
            await link.alook(expires - time.monotonic())
            now = self._leading(link.shape)
            if now is pool:
                raise
            pool = now
            connection = await pool.get_connection(*names, **options)  # type: ignore[no-untyped-call]
        self._lent[connection] = pool
        return connection

    async def release(self, connection: Any) -> None:
        pool = self._lent.pop(connection, None)
        if pool is not None:
            await pool.release(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        for pool in list(self._by_server.values()):
            await pool.disconnect()

    def _leading(self, shape: Shape) -> aredis.ConnectionPool:
        config = shape.primaries[0].config
        pool = self._by_server.get(config)
        if pool is None:
            made = single.apool(config, _kind(_AsyncLed, self._link))
            pool = self._by_server.setdefault(config, made)
        return pool


class _Led:
    """A connection that a primary must be behind, and that tells when there is none."""

    link: TopologyLink

    def __init__(self, **given: Any) -> None:
        super().__init__(**{**given, "redis_connect_func": self._check})

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ReadOnlyError:
            self.link.nudge()
            raise

    def _check(self, connection: Any) -> None:
        connection.on_connect()
        connection.send_command("ROLE")
        try:
            role = super().read_response()  # type: ignore[misc]
        except redis.ResponseError:
            return  # the user may not ask
        _demand_primary(connection, role)


class _AsyncLed:
    """The same for an event loop."""

    link: TopologyLink

    def __init__(self, **given: Any) -> None:
        super().__init__(**{**given, "redis_connect_func": self._check})

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ReadOnlyError:
            self.link.nudge()
            raise

    async def _check(self, connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("ROLE")
        try:
            role = await super().read_response()  # type: ignore[misc]
        except redis.ResponseError:
            return
        _demand_primary(connection, role)


def _kind(mixin: type, link: TopologyLink) -> single.Kind:
    def kind(base: type) -> type:
        name = f"Led{base.__name__}"
        return type(name, (mixin, base), {"link": link})

    return kind


def _demand_primary(connection: Any, role: Any) -> None:
    if role[0] not in _PRIMARY:
        place = getattr(connection, "path", None) or (
            f"{connection.host}:{connection.port}"
        )
        raise NotPrimary(f"{place} is no primary any more", outcome="not_sent")
