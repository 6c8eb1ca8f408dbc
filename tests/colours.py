"""One test body, run under both colours.

A test is written in plain sync style against a `Both`. Under "sync" it is the
object itself; under "async" a call of `name` awaits `aname` in the test's event
loop, which lives as long as the test, as a server's would. So

    cache.set("a", 1)
    assert cache.get("a") == 1

is `aset` and `aget` the second time. What has no `a` twin is called as it is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterator
from typing import Any, Literal, Self, TypeVar

T = TypeVar("T")


class Colour:
    """A test's colour, and its event loop where it needs one."""

    def __init__(self, name: Literal["sync", "async"]) -> None:
        self.name = name
        self._runner = asyncio.Runner() if name == "async" else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._runner is not None:
            self._runner.close()

    def __eq__(self, other: object) -> bool:
        return other == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name

    @property
    def is_async(self) -> bool:
        return self._runner is not None

    def run(self, awaitable: Awaitable[T]) -> T:
        """Await in the test's event loop."""
        assert self._runner is not None
        return self._runner.run(_as_coroutine(awaitable))


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


class Both:
    """An object whose methods are called in the test's colour."""

    def __init__(self, target: Any, colour: Colour) -> None:
        self.target = target
        self.colour = colour

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.target, name)
        twin = getattr(self.target, f"a{name}", None)
        if not self.colour.is_async or not callable(attribute) or twin is None:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._settle(twin(*args, **kwargs))

        return call

    def __contains__(self, key: Any) -> bool:
        if self.colour.is_async:
            return bool(self.colour.run(self.target.ahas_key(key)))
        return key in self.target

    def __repr__(self) -> str:
        return f"<{self.colour} {self.target!r}>"

    def _settle(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            return self.colour.run(result)
        if hasattr(result, "__anext__") or hasattr(result, "__aiter__"):
            return self._drain(result)
        if hasattr(result, "__aenter__"):
            return Entered(result, self.colour)
        return result

    def _drain(self, source: Any) -> Iterator[Any]:
        """Iterate over an asynchronous iterator, one step of the loop at a time."""
        iterator = aiter(source)
        while True:
            try:
                yield self.colour.run(anext(iterator))
            except StopAsyncIteration:
                return


class Entered(Both):
    """An asynchronous context manager, entered and left by a plain `with`."""

    def __enter__(self) -> Any:
        entered = self.colour.run(self.target.__aenter__())
        return Both(entered, self.colour) if entered is not None else None

    def __exit__(self, *exc: object) -> Any:
        return self.colour.run(self.target.__aexit__(*exc))
