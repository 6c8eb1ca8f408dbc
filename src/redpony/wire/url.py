"""A server's URL, read strictly: what is not understood is an error.

A URL may hold a password, and its author may have put it in the wrong place.
So no message of this module repeats a part of a URL that could be secret: see
`masked`.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from redpony.errors import InvalidSetting
from redpony.wire.config import Secret, Tcp, Unix

Value = str | int | float | bool

EXAMPLES: Final = "embedded:// or redis://127.0.0.1:6379/1"

_SERVER_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
_SCHEMES: Final = (*_SERVER_SCHEMES, "embedded", "env")
_TLS_SCHEMES: Final = frozenset({"rediss", "valkeys"})
_TOPOLOGY: Final = re.compile(r"(rediss?|valkeys?)\+(sentinel|cluster)")
_DEFAULT_PORT: Final = 6379


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


def parse(url: str) -> ServerUrl | EmbeddedUrl:
    """Read one URL.

    Raises `InvalidSetting` with the URL, its password masked, and what to write
    instead. `env://` is not resolved here: that takes an environment.
    """
    _refuse_stray_characters(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise _error(url, f"there is no scheme; {_with_scheme(url)}")
    if match := _TOPOLOGY.fullmatch(scheme):
        raise _error(
            url,
            f"{match[2].capitalize()} is not supported yet: it comes with a later "
            "release. Name one server, such as redis://127.0.0.1:6379/1",
        )
    if scheme == "embedded":
        return _embedded(url, rest)
    if scheme not in _SERVER_SCHEMES:
        raise _error(url, _unknown_scheme(scheme))
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    userinfo, at, place = authority.rpartition("@")
    username, password = _credentials(userinfo) if at else (None, None)
    parameters = _parameters(url, query)
    username = _text(parameters.pop("username", username))
    if "password" in parameters:
        password = Secret(str(parameters.pop("password")))
    named = parameters.pop("db", None)
    address: Tcp | Unix
    if scheme == "unix":
        if place or not slash or not path:
            raise _error(
                url,
                "a socket's path is absolute and follows three slashes; write "
                "unix:///run/redis/redis.sock?db=1",
            )
        if at and "@" in path:
            raise _error(
                url,
                "there is an @ in the path, behind a user name. In a password, write "
                "@ as %40 and / as %2F; so do in a path",
            )
        address, db = Unix("/" + unquote(path)), _database(url, None, named)
    else:
        address, db = _tcp(url, place), _database(url, path, named)
    return ServerUrl(
        address=address,
        tls=scheme in _TLS_SCHEMES,
        db=db,
        username=username or None,
        password=password,
        options=tuple(sorted(parameters.items())),
    )


def masked(url: str) -> str:
    """Return the URL with everything replaced that may be a secret.

    That is what stands before the last `@` (except a user's name that is
    followed by a colon), the value of every parameter that is not known to be
    harmless, and what stands where a port should be and is none. Rather too much
    is masked than too little.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    head, mark, query = rest.partition("?")
    if "@" in query and not ("@" in head and _known_parameters(query)):
        # The "?" may belong to a password: what counts is the last "@".
        before, at, rest = rest.rpartition("@")
        head, mark, query = rest.partition("?")
    else:
        before, at, head = head.rpartition("@")
    user, colon, _ = before.partition(":")
    shown = (f"{user}:***@" if colon and "?" not in user else "***@") if at else ""
    host, slash, path = head.partition("/")
    if not at and not re.fullmatch(r"(\[[0-9a-fA-F:.]*\]|[^:\[\]]*)(:\d*)?", host):
        host = f"{host.partition(':')[0]}:***" if host[:1] != "[" else "[***"
    pairs = "&".join(_masked_pair(pair) for pair in query.split("&")) if mark else ""
    return f"{scheme}{separator}{shown}{host}{slash}{path}{mark}{pairs}"


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return ` Did you mean "...?"` if a known name is near, else nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if not found:
        by_folded = {each.casefold(): each for each in known}
        near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
        found = [by_folded[each] for each in near]
    return f' Did you mean "{found[0]}"?' if found else ""


def _embedded(url: str, rest: str) -> EmbeddedUrl:
    rest, _, query = rest.partition("?")
    if rest and not rest.startswith("/"):
        raise _error(
            url,
            "the embedded server has no host; write embedded://, or "
            "embedded:///absolute/path/of/the/project",
        )
    found: dict[str, Value] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        reader = _EMBEDDED_PARAMETERS.get(name)
        if reader is None:
            known = tuple(_EMBEDDED_PARAMETERS)
            raise _error(
                url,
                f'"{name}" is not a parameter of embedded://.{nearest(name, known)} '
                f"It takes {', '.join(known)}",
            )
        found[name] = _read(url, name, text, reader)
    return EmbeddedUrl(
        directory=unquote(rest).rstrip("/") or ("/" if rest else None),
        persist=bool(found.get("persist", False)),
        production=bool(found.get("production", False)),
        db=_database(url, None, found.get("db")),
    )


def _tcp(url: str, place: str) -> Tcp:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", place)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            raise _error(url, "what stands in [ ] is no IPv6 address") from None
    elif place.count(":") > 1:
        raise _error(
            url, "an IPv6 address stands in brackets; write redis://[::1]:6379/1"
        )
    else:
        host, colon, port_text = place.partition(":")
        host, port = unquote(host), port_text if colon else None
    if not host:
        raise _error(
            url, "there is no host; write it out, as in redis://127.0.0.1:6379/1"
        )
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise _error(
            url,
            "the host holds a character that no host name has. In a password, "
            "write @ as %40, / as %2F, : as %3A, # as %23 and ? as %3F",
        )
    if port is None:
        return Tcp(host, _DEFAULT_PORT)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise _error(
            url,
            "what follows the host is no port from 1 to 65535; write "
            f"redis://HOST:{_DEFAULT_PORT}/1. (In a password, write / as %2F, "
            "? as %3F and # as %23)",
        )
    return Tcp(host, int(port))


def _credentials(userinfo: str) -> tuple[str | None, Secret | None]:
    user, colon, password = userinfo.partition(":")
    secret = Secret(unquote(password)) if colon and (password or user) else None
    return unquote(user) or None, secret


def _database(url: str, path: str | None, named: Value | None) -> int | None:
    by_path: int | None = None
    if path:
        text = path.removesuffix("/")
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise _error(
                url,
                "the path is the number of a database, 0 or more; write "
                "redis://127.0.0.1:6379/1",
            )
        by_path = int(text)
    if named is None:
        return by_path
    if not isinstance(named, int) or named < 0:
        raise _error(url, '"db" is the number of a database, 0 or more; write ?db=1')
    if by_path is not None and by_path != named:
        raise _error(
            url, f"it names two databases, {by_path} and {named}; leave one of them"
        )
    return named


def _parameters(url: str, query: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        reader = PARAMETERS.get(name)
        if reader is None:
            # A query with an "@" may be the rest of a password.
            if "@" in query or not re.fullmatch(r"[\w.-]{1,40}", name):
                raise _error(
                    url,
                    "its query holds something unknown. In a password, write ? as "
                    "%3F, & as %26 and @ as %40",
                )
            raise _error(
                url,
                f'"{name}" is not a parameter of a server\'s URL.'
                f"{nearest(name, tuple(PARAMETERS))} Others stand in OPTIONS",
            )
        if name in found:
            raise _error(url, f'"{name}" stands there twice; leave one of them')
        found[name] = _read(url, name, text, reader)
    return found


def _read(url: str, name: str, text: str, reader: Callable[[str], Value]) -> Value:
    try:
        return reader(text)
    except ValueError as error:
        raise _error(url, f'"{name}" takes {error}') from None


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("a whole number")
    return int(text)


def _number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]+)?", text):
        raise ValueError("a number")
    return float(text)


def _switch(text: str) -> bool:
    folded = text.casefold()
    if folded in ("1", "true", "yes", "on", "t", "y"):
        return True
    if folded in ("0", "false", "no", "off", "f", "n"):
        return False
    raise ValueError("1 or 0")


PARAMETERS: Final[dict[str, Callable[[str], Value]]] = {
    "client_name": str,
    "db": _integer,
    "decode_responses": _switch,
    "encoding": str,
    "encoding_errors": str,
    "health_check_interval": _number,
    "legacy_responses": _switch,
    "lib_name": str,
    "lib_version": str,
    "max_connections": _integer,
    "password": str,
    "protocol": _integer,
    "retry_on_error": str,
    "retry_on_timeout": _switch,
    "socket_connect_timeout": _number,
    "socket_keepalive": _switch,
    "socket_read_size": _integer,
    "socket_timeout": _number,
    "ssl_ca_certs": str,
    "ssl_ca_data": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": str,
    "ssl_certfile": str,
    "ssl_check_hostname": _switch,
    "ssl_ciphers": str,
    "ssl_exclude_verify_flags": str,
    "ssl_include_verify_flags": str,
    "ssl_keyfile": str,
    "ssl_min_version": _integer,
    "ssl_password": str,
    "timeout": _number,
    "username": str,
}
"""What redis-py reads in a URL, and how; `redpony.conf` says what becomes of it."""

_EMBEDDED_PARAMETERS: Final[dict[str, Callable[[str], Value]]] = {
    "persist": _switch,
    "production": _switch,
    "db": _integer,
}

_SECRET_PARAMETERS: Final = frozenset({"password", "ssl_password", "ssl_ca_data"})


def _known_parameters(query: str) -> bool:
    return all(pair.partition("=")[0] in PARAMETERS for pair in query.split("&"))


def _masked_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    known = name in PARAMETERS or name in _EMBEDDED_PARAMETERS
    if known and name not in _SECRET_PARAMETERS:
        return pair
    return f"{name}=***" if equals else "***" if name else ""


def _text(value: Value | None) -> str | None:
    return None if value is None else str(value)


def _refuse_stray_characters(url: str) -> None:
    if url != url.strip():
        raise _error(url.strip(), "white space stands around it; remove it")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise _error(
            re.sub(r"[\x00-\x20\x7f]", " ", url),
            "it holds white space or a control character; in a password, write a "
            "space as %20",
        )
    if "#" in url:
        raise _error(url, "it holds a #; in a password, write it as %23")


def _unknown_scheme(scheme: str) -> str:
    shown = scheme if re.fullmatch(r"[a-z0-9+.-]{1,40}", scheme) else "..."
    return (
        f'"{shown}" is not a scheme of a Redis server.{nearest(shown, _SCHEMES)} '
        f"Known are {', '.join(f'{each}://' for each in _SCHEMES)}"
    )


def _with_scheme(url: str) -> str:
    if url.startswith("/"):
        return f"for a socket write unix://{masked(url)}"
    return f"write {EXAMPLES}" if "@" in url or not url else f"write redis://{url}"


def _error(url: str, problem: str) -> InvalidSetting:
    return InvalidSetting(f'"{masked(url)}": {problem}.')
