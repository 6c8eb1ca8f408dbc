"""Reads through the cache: what is not there is asked of the database and kept.

However many rows a page wants, the cache costs it one round trip, and a second one
when something was missing; the database costs one thread hop, and only then. A
cache that is away misses everything: then the database answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import cache

Query = Callable[[], Any]

TIMEOUT = 90
"""Seconds. Keys of what changes hold the minute they are about: nothing is shown old."""


async def aread(wanted: Mapping[str, Query], *, use_cache: bool) -> dict[str, Any]:
    """Return the answer of each query, by its key."""
    found = await cache.aget_many(wanted) if use_cache else {}
    missing = {key: query for key, query in wanted.items() if key not in found}
    if missing:
        fresh = await sync_to_async(_ask)(missing)
        if use_cache:
            await cache.aset_many(fresh, TIMEOUT)
        found |= fresh
    return found


def read(wanted: Mapping[str, Query], *, use_cache: bool) -> dict[str, Any]:
    """Return the answer of each query, by its key."""
    found = cache.get_many(wanted) if use_cache else {}
    missing = {key: query for key, query in wanted.items() if key not in found}
    if missing:
        fresh = _ask(missing)
        if use_cache:
            cache.set_many(fresh, TIMEOUT)
        found |= fresh
    return found


def _ask(queries: Mapping[str, Query]) -> dict[str, Any]:
    return {key: query() for key, query in queries.items()}
