"""What LOCATION may name, read strictly: what is not understood is an error.

No message of this module or of those below it repeats a part of a URL that could
be secret (`redpony.wire.masking`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from redpony.wire import parameters as known
from redpony.wire.config import Secret, Tcp, Unix
from redpony.wire.masking import flaw, masked
from redpony.wire.parameters import Value
from redpony.wire.spelling import nearest
from redpony.wire.topology_url import ClusterUrl, SentinelUrl, cluster, sentinel
from redpony.wire.url_parts import credentials, database, parameter, parameters, tcp

EXAMPLES: Final = "embedded:// or redis://127.0.0.1:6379/1"

_SERVER_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
_TLS_SCHEMES: Final = frozenset({"rediss", "valkeys"})
_TOPOLOGIES: Final = tuple(
    f"{scheme}+{topology}"
    for topology in ("sentinel", "cluster")
    for scheme in _SERVER_SCHEMES[:4]
)
_SCHEMES: Final = (*_SERVER_SCHEMES, *_TOPOLOGIES, "embedded", "env")
_SHOWN: Final = (*_SERVER_SCHEMES, *_TOPOLOGIES[::4], "embedded", "env")


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """One server; `db` is None where the URL does not name a database.

    `options` are the other parameters of the query, by redis-py's names.
    """

    address: Tcp | Unix
    tls: bool
    db: int | None
    username: str | None
    password: Secret | None
    options: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class EmbeddedUrl:
    """The project's private server.

    `directory` is the project that it belongs to; None: the caller knows.
    `production` says that it is wanted with `DEBUG = False` too.
    """

    directory: str | None
    persist: bool
    production: bool
    db: int | None


Url = ServerUrl | EmbeddedUrl | SentinelUrl | ClusterUrl


def parse(url: str) -> Url:
    """Read one URL.

    Raises `InvalidSetting` with the URL, its password masked, and what to write
    instead. `env://` is not resolved here: that takes an environment.
    """
    _refuse_stray_characters(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise flaw(url, f"there is no scheme; {_with_scheme(url)}")
    if scheme == "embedded":
        return _embedded(url, rest)
    if scheme in _TOPOLOGIES:
        server, _, topology = scheme.partition("+")
        read = sentinel if topology == "sentinel" else cluster
        return read(url, rest, tls=server in _TLS_SCHEMES)
    if scheme not in _SERVER_SCHEMES:
        raise flaw(url, _unknown_scheme(scheme))
    return _server(url, scheme, rest)


def _server(url: str, scheme: str, rest: str) -> ServerUrl:
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    userinfo, at, place = authority.rpartition("@")
    username, password = credentials(userinfo) if at else (None, None)
    found = parameters(url, query, known.SERVER)
    named_user = found.pop("username", username)
    if "password" in found:
        password = Secret(str(found.pop("password")))
    named = found.pop("db", None)
    address: Tcp | Unix
    if scheme == "unix":
        if place or not slash or not path:
            raise flaw(
                url,
                "a socket's path is absolute and follows three slashes; write "
                "unix:///run/redis/redis.sock?db=1",
            )
        if at and "@" in path:
            raise flaw(
                url,
                "there is an @ in the path, behind a user name. In a password, write "
                "@ as %40 and / as %2F; so do in a path",
            )
        address, db = Unix("/" + unquote(path)), database(url, None, named)
    else:
        address, db = tcp(url, place), database(url, path, named)
    return ServerUrl(
        address=address,
        tls=scheme in _TLS_SCHEMES,
        db=db,
        username=None if named_user is None else str(named_user) or None,
        password=password,
        options=tuple(sorted(found.items())),
    )


def _embedded(url: str, rest: str) -> EmbeddedUrl:
    rest, _, query = rest.partition("?")
    if rest and not rest.startswith("/"):
        raise flaw(
            url,
            "the embedded server has no host; write embedded://, or "
            "embedded:///absolute/path/of/the/project",
        )
    found: dict[str, Value] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known.EMBEDDED:
            names = tuple(known.EMBEDDED)
            raise flaw(
                url,
                f'"{name}" is not a parameter of embedded://.{nearest(name, names)} '
                f"It takes {', '.join(names)}",
            )
        found[name] = parameter(url, name, text, known.EMBEDDED)
    return EmbeddedUrl(
        directory=unquote(rest).rstrip("/") or ("/" if rest else None),
        persist=bool(found.get("persist", False)),
        production=bool(found.get("production", False)),
        db=database(url, None, found.get("db")),
    )


def _refuse_stray_characters(url: str) -> None:
    if url != url.strip():
        raise flaw(url.strip(), "white space stands around it; remove it")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise flaw(
            re.sub(r"[\x00-\x20\x7f]", " ", url),
            "it holds white space or a control character; in a password, write a "
            "space as %20",
        )
    if "#" in url:
        raise flaw(url, "it holds a #; in a password, write it as %23")


def _unknown_scheme(scheme: str) -> str:
    shown = scheme if re.fullmatch(r"[a-z0-9+.-]{1,40}", scheme) else "..."
    return (
        f'"{shown}" is not a scheme of a Redis server.{nearest(shown, _SCHEMES)} '
        f"Known are {', '.join(f'{each}://' for each in _SHOWN)}"
    )


def _with_scheme(url: str) -> str:
    if url.startswith("/"):
        return f"for a socket write unix://{masked(url)}"
    return f"write {EXAMPLES}" if "@" in url or not url else f"write redis://{url}"
