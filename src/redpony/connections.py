"""From configuration to link: the only place that holds connections.

Django makes a cache object for every thread and every asyncio context. They all
come here, and equal configurations get the same link: one pool, one breaker, one
multiplexed connection for each event loop. (Peers key their pools by URL, so
that a second alias' time-outs are ignored; ours compare whole.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from redpony.conf import AliasConfig, alias_config
from redpony.wire.config import LinkConfig, Tcp, Tls
from redpony.wire.link import Link
from redpony.wire.stream import settle

if TYPE_CHECKING:
    import redis
    import redis.asyncio

_links: dict[LinkConfig, Link] = {}
_clients: dict[LinkConfig, Any] = {}
_aclients: dict[tuple[asyncio.AbstractEventLoop, LinkConfig], _LoopClient] = {}
_lock = threading.Lock()

PATIENCE = 5.0
"""Least time-out, in seconds, of the clients we hand out: they may block."""


def link_for(config: LinkConfig) -> Link:
    """Return the process' link for a configuration."""
    link = _links.get(config)
    if link is None:
        with _lock:
            link = _links.setdefault(config, Link(config))
    return link


def links() -> list[Link]:
    """Return every link that the process has."""
    return list(_links.values())


def close_all() -> None:
    """Close what is idle; links stay usable and open new connections.

    For the end of a test or a process. Connections of running event loops close
    with their loops.
    """
    for link in links():
        link.close()
    for client in list(_clients.values()):
        client.connection_pool.disconnect()


def get_redis(alias: str = "default") -> redis.Redis:
    """Return redis-py's client for an alias, for what Redpony does not wrap.

    One client and pool a process. It does not retry. Keys and values are the
    server's: `caches[alias].make_key` and `caches[alias].client.encode` make them.
    """
    return redis_client(alias_config(alias))


def aget_redis(alias: str = "default") -> redis.asyncio.Redis:
    """Return redis-py's asyncio client for an alias and the running event loop.

    The client is closed with the loop. It may be awaited (which connects), or
    used as it is.
    """
    return aredis_client(alias_config(alias))


def redis_client(config: AliasConfig) -> redis.Redis:
    """Return the process' blocking redis-py client for a configuration."""
    link = config.link
    client = _clients.get(link)
    if client is None:
        with _lock:
            client = _clients.get(link)
            if client is None:
                client = _clients[link] = _make(link)
    return client


def aredis_client(config: AliasConfig) -> redis.asyncio.Redis:
    """Return the running loop's redis-py client for a configuration."""
    loop = asyncio.get_running_loop()
    entry = _aclients.get((loop, config.link))
    if entry is None:
        for other in list(_aclients):
            if other[0].is_closed():
                _aclients.pop(other, None)
        entry = _LoopClient(loop, config.link)
        _aclients[loop, config.link] = entry
        entry.start()
    return entry.client


class _LoopClient:
    """An asyncio client that is closed when its loop ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: LinkConfig) -> None:
        import redis.asyncio as aredis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        kwargs = _arguments(config, aredis)
        kwargs["retry"] = Retry(NoBackoff(), 0)
        pool = aredis.BlockingConnectionPool(
            max_connections=config.pool_size, timeout=int(PATIENCE), **kwargs
        )
        self.client = aredis.Redis.from_pool(pool)
        self._place = (loop, config)
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


def _make(config: LinkConfig) -> redis.Redis:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    kwargs = _arguments(config, redis)
    kwargs["retry"] = Retry(NoBackoff(), 0)
    pool: redis.ConnectionPool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
        max_connections=config.pool_size, timeout=int(PATIENCE), **kwargs
    )
    return redis.Redis(connection_pool=pool)


def _arguments(config: LinkConfig, flavour: Any) -> dict[str, Any]:
    """Return the keyword arguments of redis-py's connections."""
    kwargs: dict[str, Any] = {
        "db": config.db,
        "protocol": config.protocol,
        "socket_timeout": max(config.deadline, PATIENCE),
        "socket_connect_timeout": config.connect_timeout,
        "client_name": config.client_name,
    }
    if config.credential_provider is not None:
        kwargs["credential_provider"] = config.credential_provider
    else:
        secret = config.password
        kwargs["username"] = config.username
        kwargs["password"] = None if secret is None else secret.reveal()
    address = settle(config)
    if not isinstance(address, Tcp):
        kwargs["connection_class"] = flavour.UnixDomainSocketConnection
        kwargs["path"] = address.path
        return kwargs
    kwargs["host"], kwargs["port"] = address.host, address.port
    kwargs["socket_keepalive"] = config.keepalive
    if config.tls is not None:
        kwargs["connection_class"] = flavour.SSLConnection
        kwargs.update(_tls_arguments(config.tls))
    return kwargs


def _tls_arguments(tls: Tls) -> dict[str, Any]:
    password = tls.key_password
    return {
        "ssl_cert_reqs": "required" if tls.verify else "none",
        "ssl_check_hostname": tls.verify and tls.check_hostname,
        "ssl_ca_certs": tls.ca_file,
        "ssl_ca_path": tls.ca_path,
        "ssl_ca_data": tls.ca_data,
        "ssl_certfile": tls.cert_file,
        "ssl_keyfile": tls.key_file,
        "ssl_password": None if password is None else password.reveal(),
        "ssl_ciphers": tls.ciphers,
    }


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _aclients.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
