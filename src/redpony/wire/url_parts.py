"""The parts that all URLs are made of, each read strictly."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from redpony.wire.config import Secret, Tcp
from redpony.wire.masking import flaw
from redpony.wire.parameters import Parameters, Value
from redpony.wire.spelling import nearest

SERVER_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_ONE: Final = f"redis://127.0.0.1:{SERVER_PORT}/1"


def credentials(userinfo: str) -> tuple[str | None, Secret | None]:
    """Return user and password of what stands before the `@`."""
    user, colon, password = userinfo.partition(":")
    secret = Secret(unquote(password)) if colon and (password or user) else None
    return unquote(user) or None, secret


def tcp(url: str, place: str, *, port: int = SERVER_PORT, example: str = _ONE) -> Tcp:
    """Return the address of a host, with this port where it names none."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", place)
    given: str | None
    if bracketed:
        host, given = bracketed[1], bracketed[2]
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            raise flaw(url, "what stands in [ ] is no IPv6 address") from None
    elif place.count(":") > 1:
        raise flaw(
            url, "an IPv6 address stands in brackets; write redis://[::1]:6379/1"
        )
    else:
        host, colon, port_text = place.partition(":")
        host, given = unquote(host), port_text if colon else None
    if not host:
        raise flaw(url, f"there is no host; write it out, as in {example}")
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise flaw(
            url,
            "the host holds a character that no host name has. In a password, "
            "write @ as %40, / as %2F, : as %3A, # as %23 and ? as %3F",
        )
    if given is None:
        return Tcp(host, port)
    if not re.fullmatch(r"[0-9]{1,5}", given) or not 0 < int(given) < 65536:
        raise flaw(
            url,
            "what follows the host is no port from 1 to 65535; write "
            f"{re.sub('127.0.0.1', 'HOST', example, count=1)}. (In a password, write "
            "/ as %2F, ? as %3F and # as %23)",
        )
    return Tcp(host, int(given))


def database(
    url: str, path: str | None, named: Value | None, *, example: str = _ONE
) -> int | None:
    """Return the database that the path or the query names; None for none."""
    by_path: int | None = None
    if path:
        text = path.removesuffix("/")
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise flaw(
                url,
                f"the path is the number of a database, 0 or more; write {example}",
            )
        by_path = int(text)
    if named is None:
        return by_path
    if not isinstance(named, int) or named < 0:
        raise flaw(url, '"db" is the number of a database, 0 or more; write ?db=1')
    if by_path is not None and by_path != named:
        raise flaw(
            url, f"it names two databases, {by_path} and {named}; leave one of them"
        )
    return named


def parameters(url: str, query: str, known: Parameters) -> dict[str, Value]:
    """Return what stands in the query of a server's URL, by name."""
    found: dict[str, Value] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            # A query with an "@" may be the rest of a password.
            if "@" in query or not re.fullmatch(r"[\w.-]{1,40}", name):
                raise flaw(
                    url,
                    "its query holds something unknown. In a password, write ? as "
                    "%3F, & as %26 and @ as %40",
                )
            raise flaw(
                url,
                f'"{name}" is not a parameter of a server\'s URL.'
                f"{nearest(name, tuple(known))} Others stand in OPTIONS",
            )
        if name in found:
            raise flaw(url, f'"{name}" stands there twice; leave one of them')
        found[name] = parameter(url, name, text, known)
    return found


def parameter(url: str, name: str, text: str, known: Parameters) -> Value:
    """Return the value of one parameter."""
    try:
        return known[name](text)
    except ValueError as error:
        raise flaw(url, f'"{name}" takes {error}') from None
