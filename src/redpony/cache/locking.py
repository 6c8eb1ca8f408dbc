"""`cache.lock`: a lock on a cache key.

The key is the one that redis-py's and django-redis' locks use, and holds what theirs
holds, so all of them exclude each other.
"""

from __future__ import annotations

from typing import Any

from redpony.cache.room import Room
from redpony.locks import Lock


class Locking(Room):
    """Locks under cache keys."""

    def lock(
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        client: None = None,
        thread_local: bool = True,
        **options: Any,
    ) -> Lock:
        """Return a lock: `with cache.lock("job"): ...`, or `async with`.

        `timeout` is how long it is held at most, in seconds; without one its lease is
        renewed until it is given back. `blocking_timeout` is how long to wait for it.
        `sleep` is accepted and has no effect: nobody polls. `client` stands where
        django-redis has it, and has to be None. The rest are the options of
        `redpony.locks.Lock`. Making it takes no round trip.
        """
        del sleep
        if client is not None:
            raise TypeError(
                "cache.lock takes no client: the cache's server has the lock"
            )
        return Lock(
            str(key),
            using=self.alias,
            key=self._key(key, version),
            timeout=timeout,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
            **options,
        )

    alock = lock
