"""A `RedisCache` whose server is a script.

For tests of a project's own code: which commands it causes, and what it does
when the server answers with an error or not at all.
"""

from __future__ import annotations

from typing import Any

from redpony.alias import Alias
from redpony.cache import RedisCache
from redpony.testing.scripted import ScriptedDriver


def scripted_cache(driver: ScriptedDriver, **params: Any) -> RedisCache:
    """Return a cache in both colours whose commands the driver answers.

    `params` are what stands in `CACHES[alias]`, and defaults to nothing:
    `scripted_cache(driver, KEY_PREFIX="shop", OPTIONS={"ON_ERROR": "degrade"})`.
    No connection is ever opened. Locks are not scripted: they use redis-py.
    """
    params.setdefault("LOCATION", "redis://scripted.invalid")
    location = params.pop("LOCATION")
    cache = RedisCache(location, params)
    alias = Alias(cache.alias.config)
    alias.drive = driver.drive
    alias.adrive = driver.adrive
    cache.alias = alias
    # The shortest path of `get` goes round plans, which is all that a driver has.
    cache._own_get = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    cache._drive = driver.drive  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    cache._adrive = driver.adrive  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return cache
