"""What the cache does, it does everywhere.

Each test that asks for `server`, directly or through `cache` and `make_cache`, runs
on every place of `tests.places`, in every form and of either flavour. One about a
single server (which counts its round trips or connections, or looks inside it) is
marked `single`, and runs on one server of each flavour.
"""

from __future__ import annotations

import pytest

from tests.places import ALL, SINGLE, Handle, Places


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "single: about one server, so not run on several"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("single")
        names = SINGLE if marked else ALL
        metafunc.parametrize("server", names, indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, places: Places) -> Handle:
    """Return running servers without data, of each flavour and form in turn."""
    return places.fresh(request.param)
