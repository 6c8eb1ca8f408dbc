"""django-redis' small functions on keys."""

from __future__ import annotations

__all__ = ["CacheKey", "default_reverse_key"]


class CacheKey(str):
    """A key as it is on the server.

    Redpony takes and gives plain texts; this class is for code that tests for it.
    """

    __slots__ = ()

    def original_key(self) -> str:
        """Return what follows the last colon."""
        return self.rsplit(":", 1)[1]


def default_reverse_key(key: str) -> str:
    """Return the user's part of `prefix:version:key`."""
    return key.split(":", 2)[2]
