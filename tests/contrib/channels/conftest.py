"""Channel layers on every place; each layer stands for a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import override_settings

from tests.places import ALL, Handle, Places, form

LAYERS = {
    "default": {"BACKEND": "redpony.contrib.channels.RedisChannelLayer"},
}


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
def layers_are_set() -> Iterator[None]:
    """Set CHANNEL_LAYERS before all other settings of a test, which go before it."""
    with override_settings(CHANNEL_LAYERS=LAYERS):
        yield


@pytest.fixture
def make_layer(cache_on: Callable[..., Any], server: Handle) -> Any:
    """Return a function that makes a layer on the server: `make_layer(capacity=5)`."""
    from redpony.contrib.channels import RedisChannelLayer

    cache_on(server)
    return lambda **config: RedisChannelLayer(**config)


@pytest.fixture
def new_layer() -> Any:
    """Return a function that makes a layer on whatever alias the test has made."""
    from redpony.contrib.channels import RedisChannelLayer

    return lambda **config: RedisChannelLayer(**config)
