"""Where a cache lives in a test: one server, or several that are one to it.

A `Place` is what a fault happens to. What is done to a place is done to every
data server of it, so that one test serves all topologies; a test about one server
of several takes it from `primaries` or `replicas`, or asks `handle`, which is what
`redpony.testing.chaos` has for the topology.

One server is started for each test. A group is started once for the run and
healed after each test, which is a tenth of the time where little was broken.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from tests.servers import Cluster, Replication, Sentinel, Server, until

HANDLES: dict[str, Callable[..., Any]] = {
    "single": Server,
    "replicated": Replication,
    "sentinel": Sentinel,
    "cluster": Cluster,
}
TOPOLOGIES = tuple(HANDLES)

MakeCache = Callable[..., Any]
_numbers = itertools.count()


class Place:
    """One running topology, and the caches on it."""

    def __init__(self, topology: str, handle: Any, cache_on: MakeCache) -> None:
        # Equal configurations are one link, and one breaker: not over several tests.
        self._name = f"place-{next(_numbers)}"
        self.topology = topology
        self.handle = handle
        self.flavour: str = handle.flavour
        self._cache_on = cache_on

    def __repr__(self) -> str:
        return f"<{self.topology}: {self.handle!r}>"

    # -- what a cache needs ------------------------------------------------------

    @property
    def location(self) -> str:
        """Return what stands in LOCATION."""
        return str(self.handle.url())

    def cache(self, **given: Any) -> Any:
        """Return a cache on this place; arguments as for `cache_on`."""
        given.setdefault("CLIENT_NAME", self._name)
        return self._cache_on(None, LOCATION=self.location, **given)

    @property
    def exact(self) -> dict[str, Any]:
        """Return the options under which no answer may be old: no replica's."""
        return {} if self.topology == "single" else {"READ_FROM": "primary"}

    @property
    def tolerates(self) -> frozenset[str]:
        """Return what its servers do by nature, whatever the client does.

        Replicas are behind; and who replaces a primary may lack its last writes.
        """
        return {
            "single": frozenset[str](),
            "replicated": frozenset({"stale"}),
        }.get(self.topology, frozenset({"stale", "lost"}))

    # -- its servers -------------------------------------------------------------

    @property
    def servers(self) -> Sequence[Any]:
        """Return every data server (sentinels are none)."""
        return [self.handle] if self.topology == "single" else self.handle.nodes

    @property
    def primaries(self) -> Sequence[Any]:
        return [self.handle] if self.topology == "single" else self.handle.primaries

    @property
    def replicas(self) -> Sequence[Any]:
        return [] if self.topology == "single" else self.handle.replicas

    def kill(self) -> None:
        """Kill all servers."""
        for server in self.servers:
            server.kill()

    def start(self) -> None:
        """Start what does not run; return when the place is whole again."""
        down = [server for server in self.servers if not server.is_running]
        for server in down:
            server.launch()
        for server in down:
            server.await_answer()
        self.whole()

    def restart(self) -> None:
        """Kill and start; the data is gone unless the settings keep it."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop all servers where they stand."""
        for server in self.servers:
            server.pause()

    def resume(self) -> None:
        """Let all servers go on; return when the place is whole again."""
        for server in self.servers:
            server.resume()
        self.whole()

    def whole(self) -> None:
        """Wait until all servers answer and each knows its part."""
        if self.topology != "single":
            self.handle.await_sync()

    def ask(self, *words: Any) -> list[Any]:
        """Return every primary's answer, over connections of the harness."""
        return [server.ask(*words) for server in self.primaries]

    def configure(self, name: str, value: Any) -> None:
        """Set a parameter on every server, until the test ends."""
        for server in self.servers:
            server.ask("CONFIG", "SET", name, str(value))

    def drop_clients(self) -> None:
        """Have every server close all connections but the harness' own."""
        for server in self.servers:
            server.ask("CLIENT", "KILL", "USER", "default")

    def quiet(self) -> None:
        """Wait until the servers have read what clients left behind."""
        for server in self.servers:
            if not server.is_up:
                continue
            with server.connect() as client:
                # Each answer is a turn of the server's loop, which reads up to 16 kB
                # from everybody.
                for _ in range(200):
                    client.ping()
        if self.topology != "single":
            self.handle.settled()


class Places:
    """The groups of a run; a context manager that ends them."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._groups: dict[tuple[str, str, tuple[str, ...]], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def standing(
        self,
        topology: str,
        flavour: str,
        cache_on: MakeCache,
        settings: tuple[str, ...] = (),
    ) -> Iterator[Place]:
        """Give a place that is whole and empty, for one test."""
        if topology == "single":
            with Server(flavour, settings=settings) as server:
                yield Place(topology, server, cache_on)
            return
        wanted = (topology, flavour, settings)
        if wanted not in self._groups:
            made = HANDLES[topology](flavour, settings=settings)
            self._groups[wanted] = self._stack.enter_context(made)
        group = self._groups[wanted]
        yield Place(topology, group, cache_on)
        group.heal()


__all__ = ["HANDLES", "TOPOLOGIES", "Place", "Places", "until"]
