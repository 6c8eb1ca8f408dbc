"""What may stand in a URL after the `?`, and how each is read.

A reader raises `ValueError` with what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

Value = str | int | float | bool
Parameters = Mapping[str, Callable[[str], Value]]


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("a whole number")
    return int(text)


def _number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]+)?", text):
        raise ValueError("a number")
    return float(text)


def _switch(text: str) -> bool:
    folded = text.casefold()
    if folded in ("1", "true", "yes", "on", "t", "y"):
        return True
    if folded in ("0", "false", "no", "off", "f", "n"):
        return False
    raise ValueError("1 or 0")


def _role(text: str) -> str:
    if text not in ("primary", "replica"):
        raise ValueError("primary or replica")
    return text


SERVER: Final[Parameters] = {
    "client_name": str,
    "db": _integer,
    "decode_responses": _switch,
    "encoding": str,
    "encoding_errors": str,
    "health_check_interval": _number,
    "is_master": _switch,
    "legacy_responses": _switch,
    "lib_name": str,
    "lib_version": str,
    "max_connections": _integer,
    "password": str,
    "protocol": _integer,
    "retry_on_error": str,
    "retry_on_timeout": _switch,
    "socket_connect_timeout": _number,
    "socket_keepalive": _switch,
    "socket_read_size": _integer,
    "socket_timeout": _number,
    "ssl_ca_certs": str,
    "ssl_ca_data": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": str,
    "ssl_certfile": str,
    "ssl_check_hostname": _switch,
    "ssl_ciphers": str,
    "ssl_exclude_verify_flags": str,
    "ssl_include_verify_flags": str,
    "ssl_keyfile": str,
    "ssl_min_version": _integer,
    "ssl_password": str,
    "timeout": _number,
    "username": str,
}
"""What redis-py reads in a URL, and how; `redpony.conf` says what becomes of it."""

CLUSTER: Final[Parameters] = {"read_from": _role}
"""Options of ours that the URL of a cluster may hold besides, in lower case."""

SENTINEL: Final[Parameters] = {
    **CLUSTER,
    "sentinel_username": str,
    "sentinel_password": str,
}
"""Options of ours that the URL of sentinels may hold besides, in lower case."""

EMBEDDED: Final[Parameters] = {
    "persist": _switch,
    "production": _switch,
    "db": _integer,
}

_SECRETS: Final = frozenset(
    {"password", "sentinel_password", "ssl_password", "ssl_ca_data"}
)

HARMLESS: Final = frozenset({*SERVER, *SENTINEL, *EMBEDDED}) - _SECRETS
"""The parameters whose values may be shown."""
