"""`cache.client`: what projects that reach below django-redis' cache use.

The raw client, the codec and the keys, and the cache's own methods under the
same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redpony.clients import redis_client

if TYPE_CHECKING:
    import redis

    from redpony.cache.backend import RedisCache


class Client:
    """django-redis' client object, over a cache."""

    def __init__(self, cache: RedisCache) -> None:
        self._cache = cache

    def get_client(self, write: bool = True) -> redis.Redis:
        """Return redis-py's client for this alias."""
        return redis_client(self._cache.alias.config)

    def encode(self, value: Any, *, allow_int: bool = True, key: str = "") -> bytes:
        """Return a value's stored form.

        A sealed value belongs to the key that it was encoded for: give `key` the
        user's key. The formats of other backends take no notice of it.
        """
        codec = self._cache.alias.codec
        if not allow_int:
            return codec.encode_member(value, allow_int=False)
        return codec.encode(key, value)

    def decode(self, value: bytes | str | int, *, key: str = "") -> Any:
        """Return the value of a stored form; `key` as for `encode`."""
        if isinstance(value, int):
            return value
        data = value.encode() if isinstance(value, str) else value
        return self._cache.alias.codec.decode(key, data)

    def make_key(
        self, key: Any, version: int | None = None, prefix: str | None = None
    ) -> str:
        """Return the server's key for a user's key."""
        cache = self._cache
        number = cache.version if version is None else version
        head = cache.key_prefix if prefix is None else prefix
        return str(cache.key_func(key, head, number))

    def make_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None
    ) -> str:
        """Return the server's glob for a glob over the user's keys."""
        return self._cache.make_pattern(pattern, version, prefix)

    def reverse_key(self, key: str) -> str:
        """Return the user's key for a key of the server."""
        return self._cache.reverse_key(key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._cache, name)
