"""URLs of sentinels and of clusters: several hosts, one set of credentials.

`redis+sentinel://USER:PASSWORD@HOST:26379,HOST,HOST/SERVICE/DB?...` and
`redis+cluster://USER:PASSWORD@HOST:6379,HOST?...`. The credentials are those of
the servers, as in redis-py, Lettuce and Celery: they are what the application
works with. Sentinels have their own, `?sentinel_username=...&sentinel_password=...`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from redpony.wire import parameters as known
from redpony.wire.config import Secret, Tcp
from redpony.wire.masking import flaw
from redpony.wire.parameters import Value
from redpony.wire.url_parts import (
    SENTINEL_PORT,
    SERVER_PORT,
    credentials,
    database,
    parameters,
    tcp,
)

SENTINEL_EXAMPLE: Final = "redis+sentinel://127.0.0.1:26379/SERVICE/0"
CLUSTER_EXAMPLE: Final = "redis+cluster://127.0.0.1:7000"


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A service that sentinels watch.

    `username`, `password`, `db` and `options` are for the servers; `tls` is for
    servers and sentinels. `ours` are options of Redpony's own, in upper case.
    """

    service: str
    sentinels: tuple[Tcp, ...]
    tls: bool
    db: int | None
    username: str | None
    password: Secret | None
    options: tuple[tuple[str, Value], ...]
    ours: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class ClusterUrl:
    """A cluster, by some of its nodes."""

    seeds: tuple[Tcp, ...]
    tls: bool
    username: str | None
    password: Secret | None
    options: tuple[tuple[str, Value], ...]
    ours: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    username: str | None
    password: Secret | None
    hosts: tuple[Tcp, ...]
    path: str
    named: Value | None
    options: tuple[tuple[str, Value], ...]
    ours: tuple[tuple[str, Value], ...]


def sentinel(url: str, rest: str, *, tls: bool) -> SentinelUrl:
    """Read what stands behind `redis+sentinel://`."""
    parts = _parts(url, rest, known.SENTINEL, SENTINEL_PORT, SENTINEL_EXAMPLE)
    service, _, path = parts.path.partition("/")
    service = unquote(service)
    if not service or (service.isdigit() and not path):
        raise flaw(
            url,
            "the path names the service that the sentinels watch, and then the "
            f"database; write {SENTINEL_EXAMPLE}",
        )
    if not re.fullmatch(r"[\w.-]+", service):
        raise flaw(url, "the service's name holds a character that no service has")
    return SentinelUrl(
        service=service,
        sentinels=parts.hosts,
        tls=tls,
        db=database(url, path, parts.named, example=SENTINEL_EXAMPLE),
        username=parts.username,
        password=parts.password,
        options=parts.options,
        ours=parts.ours,
    )


def cluster(url: str, rest: str, *, tls: bool) -> ClusterUrl:
    """Read what stands behind `redis+cluster://`."""
    parts = _parts(url, rest, known.CLUSTER, SERVER_PORT, CLUSTER_EXAMPLE)
    if database(url, parts.path, parts.named):
        raise flaw(
            url,
            "a cluster has database 0 alone; leave the database out, and tell data "
            "apart by KEY_PREFIX",
        )
    return ClusterUrl(
        seeds=parts.hosts,
        tls=tls,
        username=parts.username,
        password=parts.password,
        options=parts.options,
        ours=parts.ours,
    )


def _parts(
    url: str, rest: str, own: known.Parameters, port: int, example: str
) -> _Parts:
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    userinfo, at, places = authority.rpartition("@")
    if "@" in userinfo or "," in userinfo or "@" in path:
        raise flaw(
            url,
            "an @ stands there that does not end credentials. They stand once, before "
            "the first host; in a password, write @ as %40, / as %2F and , as %2C",
        )
    username, password = credentials(userinfo) if at else (None, None)
    found = parameters(url, query, {**known.SERVER, **own})
    named_user = found.pop("username", username)
    if "password" in found:
        password = Secret(str(found.pop("password")))
    return _Parts(
        username=None if named_user is None else str(named_user) or None,
        password=password,
        hosts=_hosts(url, places, port, example),
        path=path,
        named=found.pop("db", None),
        options=tuple(sorted(each for each in found.items() if each[0] not in own)),
        ours=tuple(
            sorted((name.upper(), each) for name, each in found.items() if name in own)
        ),
    )


def _hosts(url: str, places: str, port: int, example: str) -> tuple[Tcp, ...]:
    found: list[Tcp] = []
    for place in places.split(","):
        if not place and found:
            raise flaw(url, "a comma separates hosts, and behind one stands none")
        host = tcp(url, place, port=port, example=example)
        if host in found:
            raise flaw(url, f"{host} stands there twice; name each host once")
        found.append(host)
    return tuple(found)
