"""What one server says of itself: two commands, PING and INFO."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from redpony import embedded
from redpony.clients import redis_client
from redpony.conf import AliasConfig
from redpony.errors import RedponyError

OLDEST: Final = (6, 2)


@dataclass(frozen=True, slots=True)
class Node:
    """A server as it was a moment ago.

    `reason` is empty if it answered. `idle` is the embedded server when nobody
    uses it. What it would not tell is None.
    """

    address: str
    reason: str = ""
    idle: bool = False
    name: str = ""
    version: str = ""
    mode: str = ""
    role: str = ""
    ping: float | None = None
    memory: int | None = None
    limit: int | None = None
    policy: str | None = None
    hits: int | None = None
    misses: int | None = None
    connections: int | None = None

    @property
    def hit_ratio(self) -> float | None:
        """Hits of all reads of the whole server, from 0 to 1."""
        if self.hits is None or self.misses is None or not self.hits + self.misses:
            return None
        return self.hits / (self.hits + self.misses)

    @property
    def too_old(self) -> bool:
        """Whether Redpony needs a later server."""
        numbers = tuple(
            int(each) for each in self.version.split(".")[:2] if each.isdigit()
        )
        return self.name == "redis" and bool(numbers) and numbers < OLDEST


def ask(config: AliasConfig) -> Node:
    """Ask the primary of an alias; an embedded one is not started for it."""
    link = config.link
    if isinstance(link.address, embedded.Embedded):
        try:
            running = embedded.status(link.address).running
        except (RedponyError, OSError) as error:
            return Node(link.label, reason=str(error))
        if not running:
            return Node(link.label, idle=True)
    try:
        client: Any = redis_client(config)
        client.ping()
        start = time.perf_counter()
        client.ping()
        ping = time.perf_counter() - start
    except redis.exceptions.NoPermissionError as error:
        # It answers, and does not let this user look: still up.
        return Node(link.label, mode=_said(error))
    except (redis.RedisError, RedponyError, OSError) as error:
        return Node(link.label, reason=_said(error))
    try:
        info: Mapping[str, Any] = client.info()
    except redis.RedisError as error:
        return Node(link.label, ping=ping, mode=_said(error))
    name = "valkey" if "valkey_version" in info else "redis"
    return Node(
        address=link.label,
        name=name,
        version=str(info.get(f"{name}_version", "")),
        mode=str(info.get("server_mode", info.get("redis_mode", ""))),
        role={"master": "primary", "slave": "replica"}.get(str(info.get("role")), ""),
        ping=ping,
        memory=info.get("used_memory"),
        limit=info.get("maxmemory"),
        policy=info.get("maxmemory_policy"),
        hits=info.get("keyspace_hits"),
        misses=info.get("keyspace_misses"),
        connections=info.get("connected_clients"),
    )


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
