"""Servers that belong together: what a list, Sentinel's and a cluster's share.

A group is started once and may serve many tests: `heal()` makes it again what it
was after the start, whatever a test did to it, and is cheap when that was nothing.
All processes are started before any is waited for.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, Self

import redis
from redis.exceptions import ReadOnlyError

from redpony.testing.chaos.counted import Count, Counted
from redpony.testing.chaos.process import until
from redpony.testing.chaos.server import (
    Certificates,
    Server,
    configuration,
    is_link_up,
)

# What servers say to each other: counted by nobody.
_AMONG_SERVERS = frozenset(
    {"info", "ping", "psync", "publish", "replconf", "role", "subscribe"}
)


class Group(ABC):
    """Several servers as one; a context manager from `start()` to `close()`.

    `password`, `acl`, `tls`, `login` and `settings` are each server's.
    """

    nodes: Sequence[Server]
    """The servers that hold data, in the order in which they were made."""

    def __init__(
        self,
        flavour: str = "valkey",
        *,
        password: str | None = None,
        acl: Sequence[str] = (),
        tls: Certificates | None = None,
        login: tuple[str, str] | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        self.flavour = flavour
        self.host = "127.0.0.1"
        self.password = password
        self.certificates = tls
        self.login = login
        self._given: dict[str, Any] = {
            "password": password,
            "acl": tuple(acl),
            "tls": tls,
            "login": login,
        }
        self._settings = tuple(settings)
        self._clients: list[redis.Redis | redis.RedisCluster] = []
        self._own: dict[Server, redis.Redis] = {}
        self._written_by: frozenset[str] = frozenset()
        self._at_start: list[Any] = []

    def __repr__(self) -> str:
        ports = ", ".join(str(node.port) for node in self._servers)
        return f"<{type(self).__name__} of {self.flavour} on {ports}>"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- where it is --------------------------------------------------------

    @abstractmethod
    def url(
        self, db: int = 0, *, user: str | None = None, password: str | None = None
    ) -> str:
        """Return what stands in LOCATION."""

    @property
    @abstractmethod
    def primaries(self) -> list[Server]:
        """The servers that take writes now, by what the servers say."""

    @property
    @abstractmethod
    def replicas(self) -> list[Server]:
        """The servers that follow one, by what the servers say."""

    # -- life and death -----------------------------------------------------

    def start(self) -> None:
        """Start all processes and return when they are what they shall be."""
        start_all(self.nodes)
        self._form()
        self._at_start = self._fingerprint()

    def heal(self) -> None:
        """Make it what it was after the start: all up, in sync, and without data.

        What is not as it was, or was configured otherwise, is started anew, on
        the same ports.
        """
        if self._is_whole():
            self.flush()
            return
        self._end_all()
        for server in self._servers:
            server.forget()
        self.start()

    def close(self) -> None:
        """End all processes and remove every trace."""
        self._end_all()
        for server in self._servers:
            server.close()

    # -- looking inside -----------------------------------------------------

    @abstractmethod
    def client(self, **options: Any) -> Any:
        """Return a redis-py client of the harness user; closed with the group.

        What a command of it has written is on the replicas when it returns (what a
        pipeline has, after `settled()`).
        """

    @abstractmethod
    def ask(self, *words: Any) -> Any:
        """Return redis-py's answer to one command of the primary in charge.

        What it has written is on the replicas, too.
        """

    def keys(self) -> list[bytes]:
        """Return all keys of all primaries, in order."""
        return sorted(itertools.chain(*(node.keys() for node in self.primaries)))

    def flush(self) -> None:
        """Remove all data and scripts everywhere."""
        for node in self._up:
            flight = self._kept(node).pipeline(transaction=False)
            flight.flushall()
            flight.script_flush()
            # A replica refuses the first, and has it from its primary.
            for said in flight.execute(raise_on_error=False):
                if isinstance(said, Exception) and not _is_refusal(said):
                    raise said
        self.settled()

    def settled(self) -> None:
        """Return when the replicas that are up have all that was written so far."""
        said = {node.port: self._replication(node) for node in self._up}
        for node in self._up:
            primary = said.get(said[node.port].get("master_port", 0), {})
            if primary.get("role") == "master":
                self._await_offset(node, primary["master_repl_offset"])

    def users(self) -> list[dict[str, str]]:
        """Return CLIENT LIST of all servers that are up, without the harness."""
        return [user for node in self._up for user in node.users()]

    def hang_up(self) -> int:
        """Close the connections of the test, on all servers; return how many."""
        return sum(node.hang_up() for node in self._up)

    @contextlib.contextmanager
    def counting(self) -> Generator[Counted]:
        """Count what the servers that are up are asked during a block, together.

        Left out of `commands` is what servers say to each other; `connections`
        and `reads` have it.
        """
        counted = Counted()
        with contextlib.ExitStack() as stack:
            counts: list[tuple[Count, frozenset[str]]] = []
            replicas = self.replicas
            for node in self._up:
                client = stack.enter_context(node.connect())
                # A replica is given its primary's writes.
                given = self._writing if node in replicas else frozenset[str]()
                counts.append((Count(client), given | _AMONG_SERVERS))
            yield counted
            for count, unwanted in counts:
                taken = count.take()
                for name in unwanted & taken.commands.keys():
                    del taken.commands[name]
                counted.add(taken)

    # -- what kinds of groups differ in -------------------------------------

    @property
    def _servers(self) -> Sequence[Server]:
        """All processes, also those that hold no data."""
        return self.nodes

    @abstractmethod
    def _form(self) -> None:
        """Make servers that have just been started a group."""

    @abstractmethod
    def _stands(self) -> bool:
        """Return whether servers that are all up are still what `_form` made."""

    # -- parts --------------------------------------------------------------

    @property
    def _up(self) -> list[Server]:
        return [node for node in self.nodes if node.is_up]

    def _kept(self, server: Server) -> Any:
        """Return a client for what is asked often; it reconnects when it must."""
        if server not in self._own:
            self._own[server] = server.connect(socket_timeout=2)
        return self._own[server]

    def _settle(self, command: str) -> None:
        """Wait for the replicas if a command may have written."""
        if command.lower() in self._writing:
            self.settled()

    @property
    def _writing(self) -> frozenset[str]:
        """The commands whose effects a primary passes on to its replicas."""
        if not self._written_by:
            self._written_by = _writing(self._kept(self._up[0]))
        return self._written_by

    def _replication(self, node: Server) -> dict[str, Any]:
        return dict(self._kept(node).info("replication"))

    def _follows(self, replica: Server, primary: Server) -> bool:
        return is_link_up(self._replication(replica), primary)

    def _await_offset(self, replica: Server, offset: int) -> None:
        def has_it() -> bool:
            said = self._replication(replica)
            return bool(said.get("slave_repl_offset", offset) >= offset)

        until(has_it, f"{replica!r} has what its primary had")

    def _is_whole(self) -> bool:
        if not all(server.is_up for server in self._servers):
            return False
        try:
            for node in self.nodes:
                self._kept(node).client_unpause()
            return self._stands() and self._fingerprint() == self._at_start
        except redis.RedisError:
            return False

    def _fingerprint(self) -> list[object]:
        return [configuration(self._kept(server)) for server in self.nodes]

    def _end_all(self) -> None:
        for client in (*self._clients, *self._own.values()):
            client.close()
        self._clients.clear()
        self._own.clear()
        running = [server for server in self._servers if server.is_running]
        # At once, so that none of them notices that another is gone.
        threads = [threading.Thread(target=server.kill) for server in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def start_all(servers: Sequence[Server]) -> None:
    """Start servers together and return when all answer."""
    for server in servers:
        server.launch()
    for server in servers:
        server.await_answer()


def _is_refusal(said: Exception) -> bool:
    return isinstance(said, ReadOnlyError)


def _writing(client: redis.Redis) -> frozenset[str]:
    besides = {"select", "multi", "exec", "eval", "evalsha", "fcall"}
    return frozenset(
        name
        for name, command in client.command().items()
        if "write" in command["flags"] or name in besides
    )
