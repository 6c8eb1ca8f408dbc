"""Redis for Django.

Nothing is imported before it is asked for: the names below resolve on first
use, so that `INSTALLED_APPS` and settings modules stay free of work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redpony.clients import aget_redis, get_redis
    from redpony.conf import Misconfigured
    from redpony.errors import (
        DeadlineExceeded,
        RedponyError,
        ServerError,
        Tampered,
        Unavailable,
    )

__all__ = [
    "DeadlineExceeded",
    "Misconfigured",
    "RedponyError",
    "ServerError",
    "Tampered",
    "Unavailable",
    "aget_redis",
    "get_redis",
]

__version__ = "0.1.0.dev0"

_HOMES = {
    "DeadlineExceeded": "redpony.errors",
    "Misconfigured": "redpony.conf",
    "RedponyError": "redpony.errors",
    "ServerError": "redpony.errors",
    "Tampered": "redpony.errors",
    "Unavailable": "redpony.errors",
    "aget_redis": "redpony.clients",
    "get_redis": "redpony.clients",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
