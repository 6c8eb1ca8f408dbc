"""How the tests of a layer receive: with patience, and no assertion about time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
MakeLayer = Callable[..., Any]

MEGABYTE = "m" * 1_000_000


class Receiving:
    """What the tests have in common."""

    receives = 15.0
    silence = 0.3
    """Seconds after which a message that must not come is taken not to come."""

    def run(self, test: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(test)

    async def receive(self, layer: Any, channel: str) -> Any:
        """Return the next message of a channel, which has to come."""
        return await asyncio.wait_for(layer.receive(channel), self.receives)

    async def numbers(self, layer: Any, channel: str, count: int) -> list[int]:
        """Return the numbers of the next messages of a channel."""
        return [(await self.receive(layer, channel))["number"] for _ in range(count)]

    async def nothing_comes(self, layer: Any, channel: str) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(layer.receive(channel), self.silence)

    async def waiting(self, layer: Any, channel: str) -> asyncio.Task[Any]:
        """Return a task that has been in `receive()` for a while."""
        task = asyncio.create_task(layer.receive(channel))
        await asyncio.sleep(0.1)
        assert not task.done()
        return task
