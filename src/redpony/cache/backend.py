"""`RedisCache`: the backend that `CACHES` names, put together from its rooms."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from redpony.cache.client import Client
from redpony.cache.counters import Counters
from redpony.cache.expiry import Expiry
from redpony.cache.hashes import Hashes
from redpony.cache.keyspace import KeySpace
from redpony.cache.lists import Lists
from redpony.cache.locking import Locking
from redpony.cache.sets import Sets
from redpony.cache.sorted_sets import SortedSets
from redpony.cache.values import Values


class RedisCache(  # pyright: ignore[reportIncompatibleMethodOverride]
    Values,
    Counters,
    Expiry,
    KeySpace,
    Hashes,
    Sets,
    SortedSets,
    Lists,
    Locking,
):
    """Django's cache on Redis or Valkey; every method has an asyncio twin (`a...`).

    Objects are cheap: connections belong to the process, and `close()`, which
    Django calls at the end of every request, leaves them alone.
    """

    @cached_property
    def client(self) -> Client:
        """The object below, as in django-redis: raw client, codec and keys."""
        return Client(self)

    def close(self, **kwargs: Any) -> None:
        """Do nothing: connections outlive requests."""

    async def aclose(self, **kwargs: Any) -> None:
        """Do nothing: connections outlive requests."""
