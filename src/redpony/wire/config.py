"""What a link needs to know, resolved once, immutable and comparable.

Two aliases with equal configurations share one pool and one breaker; any
difference, in a credential or a time-out as well, makes another link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from redpony.errors import InvalidSetting


class Secret:
    """A text that is never printed; `reveal()` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))


@dataclass(frozen=True, slots=True)
class Tcp:
    """A server by host name or address."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A server by the path of its socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class Resolver(Protocol):
    """Finds the address when a connection is opened.

    `resolve` may block and may start a server; asyncio calls it in a thread,
    once per opened connection and never for a command. Equal resolvers must
    compare and hash equal.
    """

    def resolve(self) -> Tcp | Unix: ...
    def __hash__(self) -> int: ...


Address = Tcp | Unix | Resolver


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A place that only a topology knows: a service that sentinels watch."""

    name: str

    def __str__(self) -> str:
        return self.name

    def resolve(self) -> Tcp | Unix:
        raise InvalidSetting(f"{self.name} is no server of its own")


@dataclass(frozen=True, slots=True)
class Tls:
    """How a TLS server is checked, and the certificate that we show."""

    verify: bool = True
    check_hostname: bool = True
    ca_file: str | None = None
    ca_path: str | None = None
    ca_data: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: Secret | None = None
    server_name: str | None = None
    ciphers: str | None = None


class CredentialProvider(Protocol):
    """redis-py's interface: `(password,)` or `(username, password)`, fresh each time."""

    def get_credentials(self) -> tuple[str] | tuple[str, str]: ...


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """Everything that makes one link to one server.

    Times are seconds. `protocol` 3 falls back to 2 where HELLO is refused; 2
    does not try. `max_in_flight` and `max_bytes_in_flight` bound a multiplexed
    connection.
    """

    address: Address
    db: int = 0
    username: str | None = None
    password: Secret | None = None
    credential_provider: CredentialProvider | None = None
    tls: Tls | None = None
    client_name: str | None = None
    protocol: int = 3
    deadline: float = 0.25
    connect_timeout: float = 0.5
    pool_size: int = 20
    retries: int = 1
    breaker_failures: int = 3
    breaker_cooldown: float = 0.5
    max_in_flight: int = 10_000
    max_bytes_in_flight: int = 64 * 1024 * 1024
    keepalive: bool = True
    readonly: bool = False
    """Whether to say READONLY: a cluster's replica answers reads only then."""
    hint: str = ""
    """A sentence for the error of a refused connection (`embedded://` in DEBUG)."""

    def __post_init__(self) -> None:
        for name in ("deadline", "connect_timeout", "breaker_cooldown"):
            if not getattr(self, name) > 0:
                raise InvalidSetting(f"{name} must be more than 0 seconds")
        if self.pool_size < 1:
            raise InvalidSetting("pool_size must be at least 1")

    @property
    def label(self) -> str:
        """The node in messages and events; without credentials."""
        return f"{self.address}/{self.db}"


Remap = Callable[[str, int], tuple[str, int]]
"""From the address that a server announces to the one that reaches it (NAT)."""


@dataclass(frozen=True, slots=True)
class Remapped:
    """A `Remap` from pairs, `(("10.0.0.1", 6379), ("127.0.0.1", 7000))`.

    A port of 0 stands for every port of that host, and is kept.
    """

    pairs: tuple[tuple[tuple[str, int], tuple[str, int]], ...]

    def __call__(self, host: str, port: int) -> tuple[str, int]:
        found = dict(self.pairs)
        if (host, port) in found:
            return found[host, port]
        if (host, 0) in found:
            there, number = found[host, 0]
            return there, number or port
        return host, port


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Several servers that are one to their users.

    `read_from` is "primary", or "replica": any fit replica, and the primary where
    there is none. For `read_your_writes` seconds after a write, the reads of the
    same thread or task go to the primary. `refresh` is how often, in seconds, the
    topology is looked at when nothing happens.
    """

    read_from: Literal["primary", "replica"] = "primary"
    read_your_writes: float = 1.0
    remap: Remap | None = None
    refresh: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated(Topology):
    """A primary and its replicas, named one by one: all of them, in LOCATION's order.

    The first is taken for the primary until a server says otherwise.
    """

    nodes: tuple[LinkConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinels(Topology):
    """A primary and its replicas, as sentinels know them.

    `sentinels` have credentials and TLS of their own; what the servers need
    stands in the link's configuration.
    """

    service: str
    sentinels: tuple[LinkConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Topology):
    """A cluster, of which some nodes are known; the others need the same credentials."""

    seeds: tuple[Tcp, ...]
