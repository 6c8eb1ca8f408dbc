"""Where channels lie: their keys, which are their pub/sub names too, and their slots.

    redpony{rtN}:rt:PREFIX:NAME         the stream of the last messages; where they are said
    redpony{rtN}:rt-at:PREFIX:NAME      the position of the last one, which lives longer
    redpony{rtN}:rt-once:PREFIX:NAME:K  what was published for an idempotency key
    redpony{rtN}:rt-here:PREFIX:NAME    who is there, and
    redpony{rtN}:rt-users:PREFIX:NAME   with how many connections: see `presences`

N is one of `PARTITIONS` and follows from the name. So a cluster's nodes share the channels,
and what belongs together lies in one slot. The last position is kept for a month and more
after the last message, so that a channel that was idle is not taken for a new one.
"""

from __future__ import annotations

from binascii import crc32
from functools import lru_cache
from typing import Final, NamedTuple

from redpony.keys import INTERNAL

PATTERN: Final = f"{INTERNAL}rt*"
"""What matches all of them."""

REMEMBERED: Final = 30 * 86400.0
"""Seconds that the position of a channel's last message is kept, at least."""


class Keys(NamedTuple):
    """The keys of one channel."""

    stream: bytes
    at: bytes
    once: bytes
    here: bytes
    users: bytes


@lru_cache(maxsize=8192)
def keys_of(prefix: str, name: str, partitions: int) -> Keys:
    """Return the keys of a channel."""
    tag = f"{INTERNAL}rt{crc32(f'{prefix}:{name}'.encode()) % partitions}}}"
    return Keys(
        *(
            f"{tag}:{room}:{prefix}:{name}".encode()
            for room in ("rt", "rt-at", "rt-once", "rt-here", "rt-users")
        )
    )
