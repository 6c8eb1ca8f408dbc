"""Who is hurt: Redpony and its peers, each as a project would configure it.

`BACKEND` and `LOCATION` and nothing else, but for the option that makes a backend
go on without its server, where it has one. A contestant has a process of its own
for each fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

SECRET = "of the benchmarks, and of nothing else"


@dataclass(frozen=True)
class Contestant:
    """A backend with its options; `title` is its column."""

    title: str
    backend: str
    distribution: str
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self, location: str) -> dict[str, Any]:
        """Return `CACHES["default"]`."""
        found: dict[str, Any] = {"BACKEND": self.backend, "LOCATION": location}
        if self.options:
            found["OPTIONS"] = self.options
        return found

    @property
    def version(self) -> str:
        return metadata.version(self.distribution)


_OURS = "redpony.cache.RedisCache"
_DJANGO_REDIS = "django_redis.cache.RedisCache"

CONTESTANTS = {
    "ours": Contestant("Redpony", _OURS, "redpony"),
    "ours-degrade": Contestant(
        "Redpony, `ON_ERROR: degrade`", _OURS, "redpony", {"ON_ERROR": "degrade"}
    ),
    "django": Contestant(
        "Django", "django.core.cache.backends.redis.RedisCache", "Django"
    ),
    "django-redis": Contestant("django-redis", _DJANGO_REDIS, "django-redis"),
    "django-redis-ignore": Contestant(
        "django-redis, `IGNORE_EXCEPTIONS`",
        _DJANGO_REDIS,
        "django-redis",
        {"IGNORE_EXCEPTIONS": True},
    ),
}


def configure(name: str, location: str, **more: Any) -> Any:
    """Set Django up for one contestant, and return its cache."""
    import django
    from django.conf import settings
    from django.core.cache import caches

    settings.configure(
        CACHES={"default": CONTESTANTS[name].settings(location)},
        SECRET_KEY=SECRET,
        USE_TZ=True,
        LOGGING_CONFIG=None,
        **more,
    )
    django.setup()
    return caches["default"]


def stored(name: str, answer: Any) -> bool:
    """Whether `set` says that it has stored: Django's says nothing, or raises."""
    return answer is None if name == "django" else answer is True


def slots_in_use(name: str, cache: Any) -> tuple[int, int]:
    """Return how many places of the pool are taken, of how many."""
    if name.startswith("ours"):
        pool = cache.alias.link.blocking.pool
        return pool.in_use, pool.size
    if name == "django":
        pool = cache._cache._get_connection_pool(write=True)
    else:
        pool = cache.client.get_client().connection_pool
    taken = pool._created_connections - len(pool._available_connections)
    return taken, pool.max_connections
