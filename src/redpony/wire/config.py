"""What a link needs to know, resolved once, immutable and comparable.

Two aliases with equal configurations share one pool and one breaker; any
difference, in a credential or a time-out as well, makes another link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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
