"""What projects import from `django_redis`, over Redpony's connections.

Replace `from django_redis import ...` by `from redpony.compat.django_redis import
...`; `exceptions`, `util` and `cache` are modules here too. Classes that one names
in settings (serializers, compressors, clients) are not here: settings take their
dotted paths as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redpony.clients import get_redis
from redpony.conf import Misconfigured
from redpony.conf.project import backends

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["VERSION", "__version__", "get_redis_connection"]

VERSION = (7, 0, 0)
"""The release of django-redis whose interface this is."""

__version__ = ".".join(map(str, VERSION))


def get_redis_connection(alias: str = "default", write: bool = True) -> Redis:
    """Return redis-py's client for an alias; one per process, thread-safe.

    `write` is accepted and makes no difference: the client is the primary's.
    Raises `NotImplementedError` for an alias that is not in Redis. No round trip.
    """
    del write
    try:
        return get_redis(alias)
    except Misconfigured:
        if alias not in {each.alias for each in backends()}:
            raise NotImplementedError(
                f'CACHES["{alias}"] is not in Redis, so it has no Redis client'
            ) from None
        raise
