"""`cache.lock`: redis-py's lock on a cache key, until Redpony has its own.

The key is the one that django-redis uses, so both exclude each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redpony.cache.room import Room
from redpony.clients import aredis_client, redis_client

if TYPE_CHECKING:
    from redis.asyncio.lock import Lock as AsyncLock
    from redis.lock import Lock


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
        thread_local: bool = True,
    ) -> Lock:
        """Return a lock: `with cache.lock("job", timeout=10): ...`.

        `timeout` is how long it is held at most, `blocking_timeout` how long to
        wait for it, both in seconds. Raises redis-py's LockError where it could
        not be had or is no longer owned.
        """
        client = redis_client(self.alias.config)
        return client.lock(  # type: ignore[no-any-return]
            self._key(key, version),
            timeout=timeout,
            sleep=sleep,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
        )

    def alock(
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
    ) -> AsyncLock:
        """Return a lock for asyncio: `async with cache.alock("job", timeout=10)`."""
        client = aredis_client(self.alias.config)
        return client.lock(
            self._key(key, version),
            timeout=timeout,
            sleep=sleep,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
        )
