"""Which servers are the demo's own, in this process."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from outage.embedded import EmbeddedServer
from outage.nodes import Servers, breakers

_made: list[Servers] = []


def adopt(servers: Servers) -> None:
    """Have the page and the switch show and break these."""
    _made[:] = [servers]


def ours() -> Servers | None:
    """Return the demo's own servers; None if LOCATION names somebody else's."""
    if _made:
        return _made[0]
    if settings.CACHES["default"]["LOCATION"].startswith("embedded://"):
        return _embedded()
    return None


def engine() -> str:
    """Return "embedded", "cluster" or, for servers that are not ours, "other"."""
    servers = ours()
    return servers.engine if servers else "other"


def state() -> dict[str, str]:
    """Return what the board shows: the servers, and the breakers in front of them."""
    servers = ours()
    closed = set(breakers().values()) <= {"closed"}
    return {
        "redis": servers.stands() if servers else "on",
        "breaker": "closed" if closed else "open",
    }


def name_of(node: str) -> str:
    """Return the name that the page has for a node of Redpony's events."""
    servers = ours()
    return servers.name_of(node) if servers else node


@cache
def _embedded() -> EmbeddedServer:
    return EmbeddedServer(str(settings.BASE_DIR))
