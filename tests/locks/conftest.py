"""Locks are the same everywhere: each test with `server` runs on every place.

In asyncio all that a test does is done by one task, as a view would: a lock belongs to
the task that took it. Who else contends is another process' business, or another
object's: `rival` is a lock that this process does not know about.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from django.test import override_settings

from redpony.locks import Lock, PossibleDeadlock, lockdep
from redpony.locks.gate import Gate
from tests.colours import Colour
from tests.locks.both import InBoth
from tests.places import ALL, Handle, Places, form

T = TypeVar("T")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "forms(*names): the forms of servers it is for")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("forms")
        names = [each for each in ALL if not marker or form(each) in marker.args]
        metafunc.parametrize("server", names, indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, places: Places) -> Handle:
    """Return running servers without data, of each flavour and form in turn."""
    return places.empty(request.param)


class OneTask(Colour):
    """A colour whose every call in asyncio is made by the same task."""

    def __init__(self, name: Any) -> None:
        super().__init__(name)
        self._calls: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def run(self, awaitable: Awaitable[T]) -> T:
        assert self._runner is not None
        loop = self._runner.get_loop()
        if self._task is None:
            self._task = loop.create_task(self._work())
        done = loop.create_future()
        self._calls.put_nowait((awaitable, done))
        return loop.run_until_complete(done)  # type: ignore[no-any-return]

    async def _work(self) -> None:
        while True:
            awaitable, done = await self._calls.get()
            try:
                done.set_result(await awaitable)
            except BaseException as error:
                done.set_exception(error)


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    with OneTask(request.param) as colour:
        yield colour


class Rival(Lock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None  # type: ignore[assignment]


@pytest.fixture
def lock(make_cache: Any, colour: Colour) -> Callable[..., Any]:
    """Return a function that makes a lock on the server: `lock("a", timeout=1)`."""
    make_cache()
    return lambda name="job", **options: InBoth(Lock(name, **options), colour)


@pytest.fixture
def rival(make_cache: Any, colour: Colour) -> Callable[..., Any]:
    """Return a function that makes one of another process; see `Rival`."""

    def make(name: str = "job", **options: Any) -> Any:
        made = Rival(name, **options)
        made.gate = Gate()
        return InBoth(made, colour)

    return make


@pytest.fixture
def keys(server: Handle) -> Callable[[], set[bytes]]:
    """Return a function that returns the keys on the server, but for fences."""
    return lambda: {
        name for name in list(server.keys()) if not name.endswith(b":fence")
    }


@pytest.fixture
def watched(cache_on: Any, valkey: Any) -> Iterator[None]:
    """Have orders watched that locks on one server are taken in."""
    valkey.flush()
    cache_on(valkey)
    lockdep.forget()
    with override_settings(REDPONY={"LOCKS": {"LOCKDEP": True}}):
        yield
    lockdep.forget()


@pytest.fixture
def warned() -> Iterator[Callable[[], list[str]]]:
    """Return a function that returns what was warned of since it was last called."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")

        def warned() -> list[str]:
            texts = [str(each.message) for each in found]
            assert all(each.category is PossibleDeadlock for each in found), texts
            found.clear()
            return texts

        yield warned
