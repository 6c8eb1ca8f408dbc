"""Where a message stands in its channel: an epoch, and an offset that counts from 1.

The epoch is the millisecond at which the channel began, or began anew because the server
had lost what it knew. Within one the offsets have no gaps, so whether anything is missing
is arithmetic, and another epoch says that nobody knows. Both together are the id of the
message's entry in the channel's stream: `1764000000000-7`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Position(NamedTuple):
    """A place in a channel; positions of one channel can be compared."""

    epoch: int
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @classmethod
    def parse(cls, text: str | bytes) -> Position:
        """Return the position that a text says; raises `ValueError`."""
        # The digits of `bytes` are ASCII alone.
        read = text.encode("ascii", "replace") if isinstance(text, str) else text
        epoch, dash, offset = read.partition(b"-")
        if not (
            dash
            and epoch.isdigit()
            and offset.isdigit()
            and len(epoch) < 20
            and len(offset) < 20
        ):
            raise ValueError(f"{text!r} is no position such as 1764000000000-7")
        return cls(int(epoch), int(offset))


START: Final = Position(0, 0)
"""Before a channel's first message: where nobody has ever published."""
