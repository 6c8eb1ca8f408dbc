"""Redpony's chaos proxy, with the words that the wire's tests use for its faults."""

from __future__ import annotations

from functools import partial

from redpony.testing import chaos
from redpony.testing.chaos.toxics import End, Ending


class Proxy(chaos.Proxy):
    """A port of its own for a server, with faults to switch on.

    Faults hold for connections that exist and for those to come, until `heal()`:

    * `stall()`: bytes are left unread both ways; `heal()` delivers them.
    * `cut()`: every connection is closed, and new ones as soon as they come.
    * `reset()`: the same with RST.
    * `cut_after(count)`: each connection ends after so many more bytes to its client.
    * `chop(size)`: what goes to clients is sent in pieces of this size.
    """

    def stall(self) -> None:
        super().stall(stream="upstream")
        super().stall(stream="downstream")

    def cut(self) -> None:
        close = partial(Ending, seconds=0, end=End.CLOSED)
        self._add("cut()", "downstream", 1, close)

    def reset(self) -> None:
        self.reset_peer()

    def cut_after(self, count: int) -> None:
        self.limit_data(count)

    def chop(self, size: int) -> None:
        self.slicer(size)
