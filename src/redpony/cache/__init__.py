"""Django's cache API, all that django-redis adds to it, and an asyncio twin of each."""

from redpony.cache.backend import RedisCache

__all__ = ["RedisCache"]
