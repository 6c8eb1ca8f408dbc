"""redis-py's clients for one server, and the arguments that all of them take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import redis
import redis.asyncio as aredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from redpony.errors import InvalidSetting
from redpony.wire.config import LinkConfig, Tcp, Tls
from redpony.wire.stream import settle

Kind = Callable[[type], type]
"""From redis-py's class of a connection to the one to use."""

PATIENCE: Final = 5.0
"""Least time-out, in seconds, of the clients we hand out: they may block."""


def blocking(config: LinkConfig) -> redis.Redis:
    """Return a client for threads, with a bounded pool that waits."""
    return redis.Redis(connection_pool=pool(config))


def awaiting(config: LinkConfig) -> aredis.Redis:
    """Return a client for the running event loop."""
    return aredis.Redis.from_pool(apool(config))


def pool(config: LinkConfig, kind: Kind | None = None) -> redis.ConnectionPool:
    """Return a bounded pool for threads that waits for a free connection."""
    made: redis.ConnectionPool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
        max_connections=config.pool_size,
        timeout=int(PATIENCE),
        retry=Retry(NoBackoff(), 0),
        **arguments(config, redis, kind),
    )
    return made


def apool(config: LinkConfig, kind: Kind | None = None) -> aredis.ConnectionPool:
    """Return a bounded pool for an event loop that waits for a free connection."""
    return aredis.BlockingConnectionPool(
        max_connections=config.pool_size,
        timeout=int(PATIENCE),
        retry=AsyncRetry(NoBackoff(), 0),
        **arguments(config, aredis, kind),
    )


def arguments(
    config: LinkConfig, flavour: Any, kind: Kind | None = None
) -> dict[str, Any]:
    """Return the keyword arguments of redis-py's connections to a server.

    `flavour` is `redis` or `redis.asyncio`.
    """
    kwargs = {"db": config.db, **common(config)}
    address = settle(config)
    if isinstance(address, Tcp):
        connection = flavour.Connection
        kwargs["host"], kwargs["port"] = address.host, address.port
        kwargs["socket_keepalive"] = config.keepalive
        if config.tls is not None:
            connection = flavour.SSLConnection
            kwargs.update(tls_arguments(config.tls, connection))
    else:
        connection = flavour.UnixDomainSocketConnection
        kwargs["path"] = address.path
    kwargs["connection_class"] = connection if kind is None else kind(connection)
    return kwargs


def common(config: LinkConfig) -> dict[str, Any]:
    """Return the arguments that do not tell the server's place."""
    kwargs: dict[str, Any] = {
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
    return kwargs


def tls_arguments(tls: Tls, taker: Any) -> dict[str, Any]:
    """Return the arguments for TLS; raise `InvalidSetting` if redis-py has not all.

    Its releases and colours differ in what they take, and what they do not take
    must not be left out in silence.
    """
    password = tls.key_password
    given = {
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
    known = inspect.signature(taker.__init__).parameters
    for name, value in list(given.items()):
        if value is None:
            del given[name]
        elif name not in known:
            raise InvalidSetting(
                f"The client of redis-py {redis.__version__} has no {name} here; "
                "take a later release of it, or another option of TLS"
            )
    return given
