"""What a channel keeps, and what becomes of who is too slow for it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class History:
    """The last `size` messages of a channel, for `ttl` seconds after the last one.

    Who comes back within it is told all that it missed. Streams are trimmed a node at a
    time, so some more may be there. (The server's memory: about the messages' bytes, and
    some 100 bytes a channel.)
    """

    size: int
    ttl: float = 86400.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(
                "A history has a size of at least 1; history=None keeps nothing"
            )
        if not self.ttl > 0:
            raise ValueError("A history's ttl is a number of seconds, more than 0")


class Slow(enum.Enum):
    """What becomes of a reader for whom more waits than `REDPONY["REALTIME"]["BUFFER"]`."""

    CATCH_UP = "catch up"
    """It reads on from the history at its own pace; where that has ended, it is reset."""
    SKIP = "skip"
    """It goes on with what is new, and is told how many messages it did not get."""
    LATEST = "latest"
    """It gets the newest message alone: for channels whose messages are states."""
    DISCONNECT = "disconnect"
    """It is let go of, and may come back."""
