"""What a row of the table of options is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from redpony.conf.model import Reader

Place = Literal["alias", "options", "tls", "breaker", "redis-py", "settings"]
"""Where an option stands: in `CACHES[alias]`, in its `OPTIONS`, in `OPTIONS["TLS"]`
or `OPTIONS["BREAKER"]`, among redis-py's arguments (in `OPTIONS`, in
`CONNECTION_POOL_KWARGS`, in a URL's query), or as a setting of its own."""

Does = Literal["honoured", "by value", "no effect", "refused"]


@dataclass(frozen=True, slots=True)
class Option:
    """One row. `sets` is the field of the result; a prefix with "." is its part."""

    name: str
    whose: str
    does: Does
    reads: Reader
    sets: str = ""
    place: Place = "options"


REDPONY: Final = "Redpony"
DJANGO: Final = "Django"
DJANGO_REDIS: Final = "django-redis"
DJANGO_VALKEY: Final = "django-valkey"
REDIS_PY: Final = "redis-py"
