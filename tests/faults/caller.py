"""One caller whose every operation is timed, in the colour of the test.

    cache = caller(place.cache())
    place.kill()
    assert cache.meets("get", "key").outcome == "not_sent"

It is the `Both` of a cache with a clock. When the test ends, the fixture asserts
that no call was held beyond the deadline and that no slot is in use.
"""

from __future__ import annotations

import time
from typing import Any

from redpony.errors import RedponyError
from tests.colours import Both, Colour
from tests.faults.pulse import Pulse
from tests.faults.slots import left_in_use, nodes_of

ROOM = 0.5
"""Seconds beyond the deadline that a slow machine may add."""


class Caller:
    """A cache in the test's colour, under the clock."""

    def __init__(self, cache: Any, colour: Colour, pulse: Pulse) -> None:
        self.cache = cache
        self.link = cache.alias.link
        self.colour = colour
        self._both = Both(cache, colour)
        self._pulse = pulse
        self.spans: list[tuple[float, float]] = []
        self.answered = self.failed = 0

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._both, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.monotonic()
            try:
                found = attribute(*args, **kwargs)
            except BaseException:
                self.failed += 1
                raise
            else:
                self.answered += 1
                return found
            finally:
                self.spans.append((start, time.monotonic()))

        return call

    def meets(self, method: str, *args: Any, **kwargs: Any) -> RedponyError:
        """Return the error of ours that a call raises; it must raise one."""
        try:
            found = getattr(self, method)(*args, **kwargs)
        except RedponyError as error:
            return error
        raise AssertionError(f"{method} was answered with {found!r}")

    def tries(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return a call's answer, or the error of ours in its place."""
        try:
            return getattr(self, method)(*args, **kwargs)
        except RedponyError as error:
            return error

    @property
    def last(self) -> float:
        """Return how long the last call was held, without the machine's stalls."""
        start, end = self.spans[-1]
        return end - start - self._pulse.excused(start, end)

    @property
    def breakers(self) -> set[str]:
        """Return the states of the breakers before the servers."""
        return {node.breaker.state for node in nodes_of(self.link)}

    @property
    def deadline(self) -> float:
        """Return the time that an operation may take: it may have to connect.

        Where replicas are read from, to one of them and then to the primary.
        """
        servers = 1 + getattr(self.link, "reads_replicas", False)
        return servers * max(
            max(node.config.deadline, node.config.connect_timeout)
            for node in nodes_of(self.link) or [self.link]
        )

    def held(self) -> tuple[float, float]:
        """Return the longest time held by the clock, and without our machine's."""
        longest = max((end - start for start, end in self.spans), default=0.0)
        fairly = max(
            (
                end - start - self._pulse.excused(start, end)
                for start, end in self.spans
            ),
            default=0.0,
        )
        return longest, fairly

    def left_in_use(self) -> int:
        """Return the slots that stay taken."""
        if not self.colour.is_async:
            return left_in_use(self.link)
        return left_in_use(self.link, lambda: self.colour.run(_turn()))


async def _turn() -> None:
    import asyncio

    await asyncio.sleep(0.005)
