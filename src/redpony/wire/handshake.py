"""The handshake, sans-IO: which commands a new connection sends, in one flight.

`handshake` is a generator. It yields flights (a list of commands, each a tuple
of words), is sent their replies, and returns what the server is. One flight is
enough where HELLO is known; where it is refused (old servers, proxies, ACLs) a
second one asks for the same in RESP2. `CLIENT SETINFO` may fail without harm.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from redpony.errors import (
    AuthenticationFailed,
    InvalidSetting,
    NoPermission,
    NotPrimary,
    ProtocolError,
    RedponyError,
    ServerError,
    Unavailable,
)
from redpony.wire.config import LinkConfig

Words = tuple[bytes | str, ...]
Flights = Generator[list[Words], list[Any], "Features"]

OLDEST = (6, 2)
_PRIMARY = ("master", "primary", "")
VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Features:
    """What the server said of itself; version `()` where it did not say."""

    server: str = "redis"
    version: tuple[int, ...] = ()
    protocol: int = 2
    mode: str = "standalone"
    role: str = "master"

    @property
    def is_primary(self) -> bool:
        """Whether the server takes writes; so is one that does not say."""
        return self.role in _PRIMARY

    def at_least(self, redis: tuple[int, ...], valkey: tuple[int, ...] | None) -> bool:
        """Whether the server is this new; None means that no Valkey has it."""
        if self.server == "valkey":
            return valkey is not None and self.version >= valkey
        return self.version >= redis


class Facts:
    """What a link's server said of itself at the last handshake, if there was one.

    Rooms choose a newer command by it; the server may have changed since, so an
    "unknown command" is still possible and harms nothing.
    """

    __slots__ = ("demanded", "features")

    def __init__(self) -> None:
        self.features: Features | None = None
        self.demanded = ""
        """The role that the server must have: "master", or "" for any."""

    def learn(self, features: Features, node: str) -> None:
        """Take in what a server said of itself; raise `NotPrimary` if it must be one."""
        if self.demanded == "master" and not features.is_primary:
            raise NotPrimary(
                f"{node} was the primary, and is a replica now", outcome="not_sent"
            )
        self.features = features

    def at_least(self, redis: tuple[int, ...], valkey: tuple[int, ...] | None) -> bool:
        """Whether the server is known to be this new."""
        return self.features is not None and self.features.at_least(redis, valkey)


def credentials(config: LinkConfig) -> tuple[str, ...]:
    """Return `()`, or the arguments of AUTH: fresh ones from a provider."""
    if config.credential_provider is not None:
        return tuple(config.credential_provider.get_credentials())
    if config.password is None:
        return ()
    if config.username:
        return (config.username, config.password.reveal())
    return (config.password.reveal(),)


def handshake(config: LinkConfig, auth: tuple[str, ...]) -> Flights:
    """Introduce a connection; raises what the caller should see."""
    tail: list[Words] = []
    if config.db:
        tail.append(("SELECT", str(config.db)))
    if config.readonly:
        tail.append(("READONLY",))
    extras: list[Words] = [
        ("CLIENT", "SETINFO", "LIB-NAME", "redpony"),
        ("CLIENT", "SETINFO", "LIB-VER", VERSION),
    ]
    if config.client_name:
        extras.append(("CLIENT", "SETNAME", config.client_name))

    if config.protocol == 3:
        hello: Words = ("HELLO", "3")
        if auth:
            user = auth if len(auth) == 2 else ("default", auth[0])
            hello += ("AUTH", *user)
        replies = yield [hello, *extras, *tail]
        greeting = replies[0]
        if not isinstance(greeting, RedponyError):
            features = _features(greeting)
            _check(config, features, replies[1 + len(extras) :])
            return features
        # Where there is no HELLO, a server says NOAUTH before it says so.
        if not (auth and str(greeting).startswith("NOAUTH")):
            _raise_if_denied(config, greeting, bool(auth))

    first: list[Words] = [("AUTH", *auth)] if auth else []
    replies = yield [*first, *tail, ("INFO", "server"), *extras, ("ROLE",)]
    if first and isinstance(replies[0], RedponyError):
        _raise_if_denied(config, replies[0], with_password=True)
        raise AuthenticationFailed(_denied(config, replies[0]), outcome="not_sent")
    selected = replies[len(first) : len(first) + len(tail)]
    about = replies[len(first) + len(tail)]
    _raise_if_denied(config, about, bool(auth))
    features = _from_info(about, replies[-1])
    _check(config, features, selected)
    return features


def _features(greeting: Any) -> Features:
    if isinstance(greeting, list):
        greeting = dict(zip(greeting[::2], greeting[1::2], strict=False))
    if not isinstance(greeting, dict):
        raise ProtocolError(
            "HELLO was answered with something else than a greeting; is this the "
            "address of a Redis or Valkey server?"
        )
    text = {_text(name): value for name, value in greeting.items()}
    return Features(
        server=_text(text.get("server", b"redis")),
        version=_version(_text(text.get("version", b""))),
        protocol=3,
        mode=_text(text.get("mode", b"standalone")),
        role=_text(text.get("role", b"master")),
    )


def _from_info(about: Any, roles: Any) -> Features:
    role = _text(roles[0]) if isinstance(roles, list) and roles else ""
    if not isinstance(about, bytes):
        return Features(role=role)
    lines = dict(
        line.split(":", 1) for line in about.decode().splitlines() if ":" in line
    )
    if "valkey_version" in lines:
        return Features("valkey", _version(lines["valkey_version"]), role=role)
    return Features("redis", _version(lines.get("redis_version", "")), role=role)


def _check(config: LinkConfig, features: Features, selected: list[Any]) -> None:
    if features.version and features.version < OLDEST:
        version = ".".join(map(str, features.version))
        raise InvalidSetting(
            f"{config.label} is {features.server} {version}, which is too old: "
            "Redpony needs Redis 6.2 or Valkey 7.2, or a newer one"
        )
    for reply in selected:
        if isinstance(reply, (NoPermission, Unavailable)):  # BUSY, for one
            raise reply
        if isinstance(reply, RedponyError) and config.readonly:
            raise InvalidSetting(
                f"{config.address} is not part of a cluster ({reply}); write "
                "redis:// for one server"
            )
        if isinstance(reply, RedponyError):
            raise InvalidSetting(
                f"{config.address} has no database {config.db} ({reply}); change "
                "the number at the end of LOCATION, or the server's `databases`"
            )


def _raise_if_denied(config: LinkConfig, reply: Any, with_password: bool) -> None:
    if not isinstance(reply, RedponyError):
        return
    text = str(reply)
    if isinstance(reply, AuthenticationFailed) or "invalid password" in text:
        raise AuthenticationFailed(_denied(config, reply), outcome="not_sent")
    if "AUTH" in text.upper() and "required" in text and not with_password:
        raise AuthenticationFailed(_denied(config, reply), outcome="not_sent")
    if isinstance(reply, Unavailable):  # LOADING, for one
        raise reply
    if not isinstance(reply, ServerError):
        raise reply


def _denied(config: LinkConfig, reply: BaseException) -> str:
    code = str(reply).partition(" ")[0]
    if config.password is None and config.credential_provider is None:
        return (
            f"{config.address} asks for a password ({code}); set it in LOCATION, "
            'or better in OPTIONS["PASSWORD"], with OPTIONS["USERNAME"] for an '
            "ACL user"
        )
    user = config.username or "default"
    return (
        f"{config.address} does not accept the credentials for user {user!r} "
        f'({code}); check OPTIONS["USERNAME"] and OPTIONS["PASSWORD"], or those in '
        "LOCATION"
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _version(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
