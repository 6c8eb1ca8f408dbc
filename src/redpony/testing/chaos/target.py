"""What a proxy stands before: a host and a port, a unix socket, or a server's URL."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redpony.errors import InvalidSetting
from redpony.testing.chaos.listener import places_of
from redpony.testing.chaos.relay import Place
from redpony.wire.config import Tcp, Unix
from redpony.wire.masking import masked
from redpony.wire.url import ServerUrl, parse

Target = tuple[str, int] | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Aim:
    """A target, read: where it is, and how its URL goes on."""

    address: Tcp | Unix
    url: str = ""

    def __str__(self) -> str:
        return str(self.address)

    def places(self) -> list[Place]:
        """Return the addresses to connect to, in the order to try them."""
        if isinstance(self.address, Unix):
            return [(socket.AF_UNIX, self.address.path)]
        return places_of(self.address.host, self.address.port)

    def url_at(self, address: Tcp | Unix) -> str:
        """Return the URL with another address in place of its own."""
        scheme, _, rest = (self.url or "redis://").partition("://")
        rest, mark, query = rest.partition("?")
        authority, slash, path = rest.partition("/")
        user, at, _ = authority.rpartition("@")
        scheme = scheme.lower()
        if isinstance(address, Unix):
            number = path if scheme != "unix" and path else ""
            pairs = [f"db={number}"] * bool(number) + [query] * bool(query)
            tail = "?" + "&".join(pairs) if pairs else ""
            return f"unix://{user}{at}{Path(address.path).absolute()}{tail}"
        if scheme == "unix":
            scheme, slash, path = "redis", "", ""
        return f"{scheme}://{user}{at}{address}{slash}{path}{mark}{query}"


def aim(target: Any, what: str = "stands before") -> Aim:
    """Read what a user names; raises `InvalidSetting`."""
    if isinstance(target, tuple):
        if (
            len(target) == 2
            and isinstance(target[0], str)
            and type(target[1]) is int
            and 0 <= target[1] < 65536
        ):
            return Aim(Tcp(target[0], target[1]))
    elif isinstance(target, str) and "://" in target:
        read = parse(target)
        if isinstance(read, ServerUrl):
            return Aim(read.address, target)
        raise InvalidSetting(
            f"A proxy {what} one server; {masked(target)} names none. Give it one "
            "server's address; for several there is Proxies"
        )
    elif isinstance(target, os.PathLike) or (
        isinstance(target, str) and target.startswith("/")
    ):
        return Aim(Unix(os.fspath(target)))
    raise InvalidSetting(
        f"A proxy {what} (host, port), a URL or the path of a unix socket, such as "
        f'("127.0.0.1", 6379), "redis://127.0.0.1:6379/1" or "/run/redis.sock"; not '
        f"{_shown(target)}"
    )


def _shown(target: Any) -> str:
    # A URL without its scheme may hold a password.
    return repr(masked(target)) if isinstance(target, str) else repr(target)
