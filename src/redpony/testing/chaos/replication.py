"""A primary and its replicas, with nobody who watches over them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import redis

from redpony.testing.chaos.clients import PrimaryClient
from redpony.testing.chaos.group import Group
from redpony.testing.chaos.process import until
from redpony.testing.chaos.server import Server


class Replicated(Group):
    """One primary with replicas, whoever says which it is."""

    @property
    @abstractmethod
    def primary(self) -> Server:
        """The server that takes writes."""

    @property
    def primaries(self) -> list[Server]:
        """The primary, as the only one."""
        return [self.primary]

    @property
    def replicas(self) -> list[Server]:
        """All servers but the primary."""
        primary = self.primary
        return [node for node in self.nodes if node is not primary]

    def client(self, **options: Any) -> redis.Redis:
        """Return a redis-py client of the primary; closed with the group.

        What a command of it has written is on the replicas when it returns (what
        a pipeline has, after `settled()`).
        """
        client = PrimaryClient(**self.primary.credentials(**options))
        client.settle = self._settle
        self._clients.append(client)
        return client

    def ask(self, *words: Any) -> Any:
        """Return redis-py's answer to one command of the primary.

        What it has written is on the replicas, too.
        """
        answer = self.primary.ask(*words)
        self._settle(str(words[0]))
        return answer

    def await_sync(self) -> None:
        """Return when all servers that are up follow the primary and have its data."""
        primary = self.primary
        followers = [each for each in self._up if each is not primary]
        until(
            lambda: (
                all(each.follows(primary) for each in followers)
                # A replica's own link may be up before its primary counts on it.
                and primary.info("replication")["connected_slaves"] >= len(followers)
            ),
            f"the replicas of {primary!r} follow it",
        )
        self.settled()

    def _all_follow(self, primary: Server) -> bool:
        return self._replication(primary)["role"] == "master" and all(
            node is primary or self._follows(node, primary) for node in self.nodes
        )


class Replication(Replicated):
    """One primary with `replicas` replicas; a context manager.

    Which one is the primary changes by `promote()` alone.
    """

    def __init__(
        self, flavour: str = "valkey", replicas: int = 2, **options: Any
    ) -> None:
        super().__init__(flavour, **options)
        self.nodes = [
            Server(flavour, settings=self._settings, **self._given)
            for _ in range(1 + replicas)
        ]
        self._primary = self.nodes[0]

    @property
    def primary(self) -> Server:
        """The server that takes writes."""
        return self._primary

    def url(
        self, db: int = 0, *, user: str | None = None, password: str | None = None
    ) -> str:
        """Return what stands in LOCATION: all URLs, the primary's first."""
        return ",".join(self.urls(db, user=user, password=password))

    def urls(
        self, db: int = 0, *, user: str | None = None, password: str | None = None
    ) -> list[str]:
        """Return the URLs as a list, the primary's first."""
        servers = [self._primary, *self.replicas]
        return [each.url(db, user=user, password=password) for each in servers]

    def promote(self, index: int = 0) -> Server:
        """Make a replica the primary, let all that are up follow it, and return it.

        The old primary becomes a replica if it is up; else `follow` makes it one.
        """
        chosen = self.replicas[index]
        chosen.lead()
        self._primary = chosen
        for node in self._up:
            if node is not chosen:
                node.follow(chosen)
        self.await_sync()
        return chosen

    def _form(self) -> None:
        self._primary = self.nodes[0]
        for replica in self.replicas:
            replica.follow(self._primary)
        self.await_sync()

    def _stands(self) -> bool:
        return self._primary is self.nodes[0] and self._all_follow(self._primary)
