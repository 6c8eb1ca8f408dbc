"""Where a test's cache may live: one server, or several that are one to it.

A place is named for its servers and their form: "valkey" and "redis_debian" are
one server; "valkey-replicated" is a primary with two replicas, "valkey-sentinel"
the same with three sentinels, "valkey-cluster" three primaries with a replica
each; "redis_debian-guarded" is one server that speaks TLS alone, to a user who may
do what `manage.py redpony acl` allows for the test's aliases, and nothing else.
Sentinel and the cluster of Debian's Redis are read from replicas, the others from
the primaries; a list of servers is read from replicas by default.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Self

from tests.servers import Cluster, Counted, Group, Replication, Sentinel, Server, until

Handle = Server | Group

SINGLE = ("valkey", "redis_debian")
GUARDED = "redis_debian-guarded"


class Guarded(Server):
    """A server with TLS and one user, who has the rights that the aliases need."""

    LOGIN = ("guarded", "guarded's secret")

    def __init__(self) -> None:
        user, password = self.LOGIN
        words = f'user {user} on ">{password}" -@all'
        super().__init__("redis", tls=True, acl=[words], login=self.LOGIN)

    def admit(self, *aliases: str) -> None:
        """Give the user the rights that these aliases need."""
        from redpony.conf import alias_config
        from redpony.management.acl import acl_rules
        from redpony.wire.handshake import Features

        user, password = self.LOGIN
        version = tuple(map(int, self.info("server")["redis_version"].split(".")))
        rules = acl_rules(
            *map(alias_config, aliases),
            server=Features("redis", version),
            password=f">{password}",
        )
        self.ask("ACL", "SETUSER", user, *rules)

    def heal(self) -> None:
        self.flush()


class SentinelWithReads(Sentinel):
    """Its caches read from replicas, which is not the default there."""

    options = {"READ_FROM": "replica"}


class ClusterWithReads(Cluster):
    """Its caches read from replicas, which is not the default there."""

    options = {"READ_FROM": "replica"}


MAKE: dict[str, Callable[[], Handle]] = {
    "valkey": lambda: Server("valkey"),
    "redis_debian": lambda: Server("redis"),
    "valkey-replicated": lambda: Replication("valkey"),
    "redis_debian-replicated": lambda: Replication("redis"),
    "valkey-sentinel": lambda: Sentinel("valkey"),
    "redis_debian-sentinel": lambda: SentinelWithReads("redis"),
    "valkey-cluster": lambda: Cluster("valkey"),
    "redis_debian-cluster": lambda: ClusterWithReads("redis"),
    GUARDED: Guarded,
}


ALL = tuple(MAKE)


def form(name: str) -> str:
    """Return the form of a place: "single", "replicated", "sentinel" ..."""
    return name.partition("-")[2] or "single"


def options(server: Handle) -> dict[str, Any]:
    """Return what has to stand in OPTIONS besides LOCATION."""
    found = dict(getattr(server, "options", {}))
    if server.certificates:
        found["TLS"] = {"CA_FILE": str(server.certificates.ca)}
    return found


def pools(cache: Any) -> list[Any]:
    """Return the pools of a cache's blocking connections, one a server."""
    return [link.blocking.pool for link in cache.alias.link.nodes()]


INTRODUCTIONS = {"hello", "auth", "select", "role", "cluster|slots", "readonly"}


def asked(counted: Counted) -> dict[str, int]:
    """Return the commands that servers were asked, but for introductions.

    Who watches over several servers makes his connections when he likes.
    """
    return {
        name: calls
        for name, calls in counted.commands.items()
        if name not in INTRODUCTIONS and not name.startswith("client|")
    }


def await_idle(cache: Any) -> None:
    """Return when no pool of a cache has lent a connection.

    Who watches over several servers may just be looking.
    """
    until(
        lambda: not any(pool.in_use for pool in pools(cache)),
        f"nobody uses a connection of {cache!r}",
        5,
    )


class Places:
    """The places of a whole run, each started when it is first asked for."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._started: dict[str, Handle] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Any:
        if name not in self._started:
            self._started[name] = self._stack.enter_context(MAKE[name]())
        return self._started[name]

    def fresh(self, name: str) -> Any:
        """Return a place as it was when it was started."""
        place = self[name]
        place.heal()
        return place

    def empty(self, name: str) -> Any:
        """Return a place without data: for tests that leave its servers alone."""
        place = self[name]
        place.flush()
        return place
