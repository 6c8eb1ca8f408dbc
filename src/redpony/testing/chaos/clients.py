"""redis-py's clients: those whose writes are on the replicas at once, and raw replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import redis


class Settling:
    """A client that waits, after each command, until the replicas have it.

    A test that writes behind the back of what it tests would otherwise have to
    know who reads from where.
    """

    settle: Callable[[str], None]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, wait for the replicas, and return the answer."""
        parent: Any = super()
        answer = parent.execute_command(*args, **options)
        # redis-py asks things while it is being made.
        getattr(self, "settle", _nothing)(str(args[0]))
        return answer


class PrimaryClient(Settling, redis.Redis):
    """A client of a primary that has replicas."""


class ClusterClient(Settling, redis.RedisCluster):
    """A client of a cluster."""


def _nothing(_command: str) -> None:
    pass


def flight(client: redis.Redis, *commands: Sequence[str]) -> list[Any]:
    """Send commands together and return the replies as the server gave them.

    Past redis-py's callbacks, which take time and do not pass on everything. Raises
    the first error among the replies.
    """
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.response_callbacks = {}
    for command in commands:
        pipeline.execute_command(*command)
    return list(pipeline.execute())
