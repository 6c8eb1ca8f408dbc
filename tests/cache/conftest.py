"""What the cache does, it does everywhere.

Each test that asks for `server`, directly or through `cache` and `make_cache`, runs
on every place of `tests.places`: in every form, on either flavour. One for which
that makes no sense names its forms, `@pytest.mark.forms("single", "replicated")`: a
test that counts round trips or connections is one about a single server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.places import ALL, Handle, Places, form


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


@pytest.fixture
def patient(make_cache: Callable[..., Any], both: Callable[[Any], Any]) -> Any:
    """Return `cache`, but with the time that thousands of keys take when it is busy."""
    return both(make_cache(DEADLINE=10))
