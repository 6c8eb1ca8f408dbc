"""A proxy before each of several servers: a cluster's nodes, or a primary's replicas.

Such servers tell their clients where the others are, past any proxy. So the alias
is told how to translate what they say: `remap` is for OPTIONS["ADDRESS_REMAP"].
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol, Self

from redpony.errors import InvalidSetting
from redpony.testing.chaos.proxy import Proxy
from redpony.wire.config import Remapped


class Node(Protocol):
    """Whatever has a host and a port, as this package's servers do."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Proxies:
    """One `Proxy` for each server, found by it: `proxies[host, port]`.

    Servers are named as `(host, port)`, or by something that has both. These must be
    the addresses that they announce (`CLUSTER SLOTS`, `ROLE`, `SENTINEL`). Also a
    context manager, which closes them all.
    """

    def __init__(
        self, servers: Iterable[tuple[str, int] | Node], *, seed: int | None = None
    ) -> None:
        self._proxies: dict[tuple[str, int], Proxy] = {}
        with contextlib.ExitStack() as undo:
            for each in servers:
                address = _address(each)
                if address in self._proxies:
                    raise InvalidSetting(
                        f"A proxy stands before {address[0]}:{address[1]} already"
                    )
                proxy = undo.enter_context(Proxy(address, seed=seed))
                self._proxies[address] = proxy
            undo.pop_all()

    @property
    def remap(self) -> Remapped:
        """From the addresses that the servers announce to their proxies'.

        A server that has no proxy keeps its address.
        """
        return Remapped(
            tuple(
                (address, (each.host, each.port))
                for address, each in self._proxies.items()
            )
        )

    @property
    def hosts(self) -> str:
        """The proxies' addresses with commas between, as a LOCATION has them."""
        return ",".join(str(each.address) for each in self)

    def heal(self) -> None:
        """End all faults of all proxies."""
        for proxy in self:
            proxy.heal()

    def close(self) -> None:
        """Close all proxies."""
        for proxy in self:
            proxy.close()

    def __getitem__(self, server: tuple[str, int] | Node) -> Proxy:
        address = _address(server)
        if address not in self._proxies:
            known = ", ".join(f"{host}:{port}" for host, port in self._proxies)
            raise KeyError(f"no proxy before {address!r}, only before {known}")
        return self._proxies[address]

    def __iter__(self) -> Iterator[Proxy]:
        return iter(self._proxies.values())

    def __len__(self) -> int:
        return len(self._proxies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _address(server: tuple[str, int] | Node) -> tuple[str, int]:
    return server if isinstance(server, tuple) else (server.host, server.port)
