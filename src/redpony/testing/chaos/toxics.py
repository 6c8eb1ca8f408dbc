"""What a proxy does to bytes on their way: faults without sockets and without a clock.

A `Stage` is one fault's part in one direction of one connection. Pieces are put in,
and taken out once they are due; what is to happen between depends on nothing but
the times that it is told and the `Random` that it is given. What always holds:

* Order is kept: no piece comes out before one that went in earlier.
* Bytes are delayed, divided or lost; they are never changed, invented or repeated.
* The end of a stream is a piece too, and stays behind the bytes that it followed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from random import Random
from typing import Literal

Direction = Literal["downstream", "upstream"]
"""Toxiproxy's words: downstream goes to the client, upstream to the server."""


class End(Enum):
    """How a stream ends."""

    FINISHED = "finished"
    """Its source has said all that it will; the other direction goes on."""

    CLOSED = "closed"
    """The connection is closed on both sides."""

    RESET = "reset"
    """So it is, and whom the stream goes to gets RST in place of FIN."""


Piece = bytes | End


class Stage:
    """A fault's part in one stream; by itself it lets everything pass."""

    holds = False
    """Whether nothing more is to be read from the source."""

    def __init__(self, now: float, random: Random) -> None:
        self.random = random
        self.size = 0
        """How many bytes are kept here."""
        self._kept: deque[tuple[float, Piece]] = deque()

    def put(self, piece: Piece, now: float) -> None:
        """Take a piece in."""
        for at, part in self.treat(piece, now):
            self._keep(part, at)

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        """Yield what becomes of a piece, and when each part of it is due."""
        yield now, piece

    def take(self, now: float) -> list[Piece]:
        """Return what is due, in order, and forget it."""
        due: list[Piece] = []
        while self._kept and self._kept[0][0] <= now:
            piece = self._kept.popleft()[1]
            due.append(piece)
            if isinstance(piece, bytes):
                self.size -= len(piece)
        return due

    @property
    def due(self) -> float:
        """When there will be something to take; never is infinity."""
        return self._kept[0][0] if self._kept else math.inf

    @property
    def keeps(self) -> bool:
        """Whether something is still to come out."""
        return bool(self._kept)

    def leave(self) -> list[Piece]:
        """Return what has to go on, now that the fault is over."""
        return self.take(math.inf)

    def _keep(self, piece: Piece, at: float) -> None:
        # What is due earlier than what came before it waits for that: see `take`.
        self._kept.append((at, piece))
        if isinstance(piece, bytes):
            self.size += len(piece)


MakeStage = Callable[[float, Random], Stage]
"""What a fault is to a connection that it meets: `(now, random)` to a stage."""


class Latency(Stage):
    """Everything arrives later, by a time that differs from piece to piece."""

    def __init__(
        self, now: float, random: Random, *, seconds: float, jitter: float
    ) -> None:
        super().__init__(now, random)
        self._seconds, self._jitter = seconds, jitter

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        late = self._seconds + self.random.uniform(-self._jitter, self._jitter)
        yield now + max(0.0, late), piece


class Bandwidth(Stage):
    """So many bytes a second and no more."""

    def __init__(self, now: float, random: Random, *, rate: float) -> None:
        super().__init__(now, random)
        self._rate = rate
        self._free = now

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        if isinstance(piece, End):
            yield now, piece
            return
        # A tenth of a second's worth at once, as Toxiproxy sends it.
        step = max(1, int(self._rate / 10))
        for start in range(0, len(piece), step):
            part = piece[start : start + step]
            self._free = max(now, self._free) + len(part) / self._rate
            yield self._free, part


class Slicer(Stage):
    """What came at once goes on in small pieces."""

    def __init__(
        self, now: float, random: Random, *, size: int, variation: int, delay: float
    ) -> None:
        super().__init__(now, random)
        self._sizes = (max(1, size - variation), size + variation)
        self._delay = delay
        self._next = now

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        if isinstance(piece, End):
            yield now, piece
            return
        start = 0
        while start < len(piece):
            size = self.random.randint(*self._sizes)
            at = max(now, self._next)
            self._next = at + self._delay
            yield at, piece[start : start + size]
            start += size


class LimitData(Stage):
    """After so many bytes the connection ends."""

    def __init__(self, now: float, random: Random, *, size: int, end: End) -> None:
        super().__init__(now, random)
        self._left = size
        self._end = end
        self._ended = False

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        if self._ended:
            return
        if isinstance(piece, End):
            yield now, piece
            return
        part = piece[: self._left]
        self._left -= len(part)
        if part:
            yield now, part
        if not self._left:
            self._ended = True
            yield now, self._end


class Ending(Stage):
    """Nothing passes, and after a while the connection ends; or never does."""

    def __init__(
        self, now: float, random: Random, *, seconds: float | None, end: End
    ) -> None:
        super().__init__(now, random)
        self.lost = False
        if seconds is not None:
            self._keep(end, now + seconds)

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        self.lost = True
        yield from ()

    def leave(self) -> list[Piece]:
        # With a hole in it the stream is of no use to anybody.
        return [End.CLOSED] if self.lost else []


class SlowClose(Stage):
    """The end of a stream arrives late; what stands before it does not."""

    def __init__(self, now: float, random: Random, *, seconds: float) -> None:
        super().__init__(now, random)
        self._seconds = seconds

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        yield (now + self._seconds if isinstance(piece, End) else now), piece


class Stall(Stage):
    """Nothing arrives until this is over, and then everything does."""

    holds = True

    def treat(self, piece: Piece, now: float) -> Iterator[tuple[float, Piece]]:
        yield math.inf, piece
