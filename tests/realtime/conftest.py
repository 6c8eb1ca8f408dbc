"""Channels are the same everywhere: each test with `server` runs on every place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from redpony.realtime import listening
from redpony.realtime.publishing import seen
from tests.places import ALL, Handle, Places, form
from tests.realtime.process import Site
from tests.servers import Server


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


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """A channel of another test's server is another channel."""
    seen.clear()
    yield
    listening.close()


Settings = Callable[..., None]


@pytest.fixture
def place(cache_on: Any, server: Handle) -> Handle:
    """The place whose server messages go through: that of the default alias."""
    cache_on(server)
    return server


@pytest.fixture
def configured(settings: Any) -> Settings:
    """Return what sets `REDPONY["REALTIME"]`."""

    def configure(**options: Any) -> None:
        settings.REDPONY = {"REALTIME": options}

    return configure


@pytest.fixture
def settings() -> Iterator[Any]:
    with override_settings():
        from django.conf import settings

        yield settings


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return what runs a coroutine in a loop of its own, at most a minute."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(60):
                return await work

        return asyncio.run(bounded())

    return run


@pytest.fixture
def site(valkey: Server, tmp_path: Path) -> Iterator[Site]:
    """The site on uvicorn, with a server of its own data."""
    with Site(valkey.url(), tmp_path) as site:
        yield site
