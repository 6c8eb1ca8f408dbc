"""A primary, its replicas, and the sentinels that replace it when it is gone.

Sentinels find each other by messages every two seconds. These know each other
from the start, so a set is ready sooner.

A sentinel tries to reach a server that it has lost, and one that it has just made
the primary, once a second. Where a server counts as down in less than that, each
failover would be followed by another one, to and fro; so the period is a half of
what is waited at most. All other periods are Redis' own.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import redis

from redpony.testing.chaos.group import start_all
from redpony.testing.chaos.process import until
from redpony.testing.chaos.programs import free_port
from redpony.testing.chaos.replication import Replicated
from redpony.testing.chaos.server import HARNESS, Certificates, Server, quoted


class Watcher(Server):
    """One sentinel process."""

    def __init__(
        self,
        flavour: str,
        inside: Certificates | None,
        down_after_ms: int,
        **given: Any,
    ) -> None:
        super().__init__(flavour, **given)
        self.name = f"{flavour} sentinel on {self.port}"
        self.id = secrets.token_hex(20)
        self.watching: list[str] = []
        self.down_after_ms = down_after_ms
        # Sentinels speak to each other as they speak to servers, with TLS or
        # without. Clients may be served otherwise, on a port of their own.
        self._inside = inside
        self._split = (inside is None) != (self.certificates is None)
        self.inner_port = free_port() if self._split else self.port

    def await_answer(self) -> None:
        """Return when the process answers, and is as quick as it has to be."""
        super().await_answer()
        self.ask("SENTINEL", "DEBUG", "PING-PERIOD", min(1000, self.down_after_ms // 2))

    def _arguments(self) -> list[str]:
        return ["--sentinel"]

    def _config(self) -> list[str]:
        user, password = HARNESS
        lines = [*self._listening(), *self.acl, *self.settings]
        if self._split:
            trusted = self._inside or self.certificates
            assert trusted is not None
            kind = "port" if self._inside is None else "tls-port"
            lines = [
                line
                for line in lines
                if line.split()[0] != "tls-replication"
                and line not in ("port 0", f"{kind} 0")
            ]
            if self._inside is not None:
                lines += self._trust(trusted)
            lines += [
                f"{kind} {self.inner_port}",
                "sentinel announce-ip 127.0.0.1",
                f"sentinel announce-port {self.inner_port}",
            ]
        if self.password:
            lines.append(f"requirepass {quoted(self.password)}")
        return [
            *lines,
            f"sentinel myid {self.id}",
            f"sentinel sentinel-user {user}",
            f"sentinel sentinel-pass {password}",
            *self.watching,
        ]


class Sentinel(Replicated):
    """One primary with `replicas` replicas and `sentinels` sentinels.

    A primary that has been silent for `down_after_ms` is replaced. The options of
    a `Group` are the servers'; the sentinels' own are `sentinel_password`,
    `sentinel_acl` and `sentinel_tls` (by default `tls`; None for plain text).
    """

    def __init__(
        self,
        flavour: str = "valkey",
        replicas: int = 2,
        sentinels: int = 3,
        down_after_ms: int = 500,
        *,
        failover_timeout_ms: int = 3000,
        service: str = "main",
        sentinel_password: str | None = None,
        sentinel_acl: Sequence[str] = (),
        sentinel_tls: Certificates | str | None = "as the servers",
        **options: Any,
    ) -> None:
        super().__init__(flavour, **options)
        self.service = service
        self.down_after_ms = down_after_ms
        self.failover_timeout_ms = failover_timeout_ms
        self.sentinel_password = sentinel_password
        self.nodes = [
            Server(flavour, settings=self._settings, **self._given)
            for _ in range(1 + replicas)
        ]
        outside = self.certificates if isinstance(sentinel_tls, str) else sentinel_tls
        self.sentinels = [
            Watcher(
                flavour,
                self.certificates,
                down_after_ms,
                tls=outside,
                password=sentinel_password,
                acl=sentinel_acl,
            )
            for _ in range(sentinels)
        ]
        for sentinel in self.sentinels:
            sentinel.watching = self._watching(sentinel)

    @property
    def primary(self) -> Server:
        """The primary, as most of the sentinels that are up say."""
        said = [self._primary_by(sentinel) for sentinel in self._sentinels_up]
        named = [each for each in said if each is not None]
        if not named:
            raise RuntimeError(f"No sentinel of {self!r} names a primary.")
        return max(named, key=named.count)

    def url(
        self, db: int = 0, *, user: str | None = None, password: str | None = None
    ) -> str:
        """Return what stands in LOCATION: the sentinels, the service, the database.

        The credentials are the servers'. The scheme has TLS if these have.
        """
        scheme = "rediss" if self.certificates else "redis"
        first = self.nodes[0].url(db, user=user, password=password)
        credentials = first.partition("://")[2].rpartition("@")
        hosts = ",".join(each.address for each in self.sentinels)
        return (
            f"{scheme}+sentinel://{credentials[0]}{credentials[1]}{hosts}"
            f"/{self.service}/{db}"
        )

    def failover(self) -> Server:
        """Have the primary replaced, as an operator does, and return the new one.

        Returns when all sentinels agree, and the other replicas follow the new
        primary. The old one takes writes until a sentinel makes it a replica, up
        to ten seconds later; `await_sync` waits for that.
        """
        old = self.primary

        def accepted() -> bool:
            try:
                self._sentinels_up[0].ask("SENTINEL", "FAILOVER", self.service)
            except redis.ResponseError:
                return False  # one is in progress, or no replica is good yet
            return True

        until(accepted, f"a sentinel of {self!r} begins a failover")
        return self.await_primary_other_than(old)

    def await_primary_other_than(self, server: Server) -> Server:
        """Return the primary when it is another one, and everybody knows.

        That is: all sentinels that are up have switched to it, it says so itself,
        and the replicas that are up, other than `server`, follow it.
        """

        def has_changed() -> bool:
            switched = {self._switched_to(each) for each in self._sentinels_up}
            (first, *others) = switched or {None}
            if first is None or others or first is server or not first.is_up:
                return False
            if first.role != "primary":
                return False
            return all(
                node in (first, server) or self._follows(node, first)
                for node in self._up
            )

        until(has_changed, f"{self!r} has another primary than {server!r}", 60)
        return self.primary

    # -- parts --------------------------------------------------------------

    @property
    def _servers(self) -> Sequence[Server]:
        return [*self.nodes, *self.sentinels]

    @property
    def _sentinels_up(self) -> list[Watcher]:
        return [each for each in self.sentinels if each.is_up]

    def _watching(self, sentinel: Watcher) -> list[str]:
        primary, *replicas = self.nodes
        user, password = HARNESS
        quorum = len(self.sentinels) // 2 + 1
        service = self.service
        return [
            f"sentinel monitor {service} {primary.host} {primary.port} {quorum}",
            f"sentinel down-after-milliseconds {service} {self.down_after_ms}",
            f"sentinel failover-timeout {service} {self.failover_timeout_ms}",
            f"sentinel parallel-syncs {service} {max(1, len(replicas))}",
            f"sentinel auth-user {service} {user}",
            f"sentinel auth-pass {service} {password}",
            *(
                f"sentinel known-replica {service} {each.host} {each.port}"
                for each in replicas
            ),
            *(
                f"sentinel known-sentinel {service} {each.host} {each.inner_port}"
                f" {each.id}"
                for each in self.sentinels
                if each is not sentinel
            ),
        ]

    def _tell(self, sentinel: Watcher, what: str) -> Any:
        return self._kept(sentinel).execute_command(f"SENTINEL {what}", self.service)

    def _switched_to(self, sentinel: Watcher) -> Server | None:
        """Return the primary that a sentinel watches, None amid a failover."""
        master = self._tell(sentinel, "MASTER")
        if "failover_in_progress" in master["flags"]:
            return None
        return self._by_port(master["port"])

    def _primary_by(self, sentinel: Watcher) -> Server | None:
        """Return the primary that a sentinel tells clients."""
        try:
            said = self._tell(sentinel, "GET-MASTER-ADDR-BY-NAME")
        except redis.ConnectionError:
            return None
        return self._by_port(said[1]) if said else None

    def _by_port(self, port: Any) -> Server | None:
        return next((node for node in self.nodes if node.port == int(port)), None)

    def _form(self) -> None:
        primary, *replicas = self.nodes
        for replica in replicas:
            replica.follow(primary)
        until(
            lambda: all(self._follows(replica, primary) for replica in replicas),
            f"the replicas of {self!r} are in sync",
        )
        # Not before: they ask a replica how it is once, and then in ten seconds.
        start_all(self.sentinels)
        until(
            lambda: all(self._agrees(each) for each in self.sentinels),
            f"the sentinels of {self!r} know each other and all servers",
        )
        self.settled()

    def _stands(self) -> bool:
        primary = self.primary
        return (
            all(self._agrees(each) for each in self.sentinels)
            and all(self._primary_by(each) is primary for each in self.sentinels)
            and self._all_follow(primary)
        )

    def _agrees(self, sentinel: Watcher) -> bool:
        """Return whether a sentinel sees everybody well, and nothing under way."""
        if self._kept(sentinel).info("sentinel")["sentinel_tilt"]:
            return False
        master = self._tell(sentinel, "MASTER")
        replicas = self._tell(sentinel, "SLAVES")
        others = self._tell(sentinel, "SENTINELS")
        return (
            master["flags"] == "master"
            and len(others) == len(self.sentinels) - 1
            and all(each["flags"] == "sentinel" for each in others)
            and len(replicas) == len(self.nodes) - 1
            and all(
                each["flags"] == "slave" and each["master-link-status"] == "ok"
                for each in replicas
            )
        )
