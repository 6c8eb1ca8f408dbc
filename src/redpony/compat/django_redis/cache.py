"""django-redis' backend by its old place in the package."""

from __future__ import annotations

from redpony.cache import RedisCache

__all__ = ["RedisCache"]
