"""A browser, a site, and a server that keeps its data, for all tests of this folder.

Each test has channels of its own: `channel("room")` is one that nobody has spoken on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from redpony.realtime.publishing import seen
from tests.browser.chromium import Chromium
from tests.realtime.process import Site
from tests.servers import Server


@pytest.fixture(scope="package")
def keeping() -> Iterator[Server]:
    """A server that has its data again when it is started again."""
    with Server("valkey", settings=["appendonly yes", "appendfsync always"]) as server:
        yield server


@pytest.fixture(scope="package")
def everlasting(
    keeping: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with Site(
        keeping.url(),
        tmp_path_factory.mktemp("site"),
        application="tests.browser.site:application",
        # A silent connection is noticed after two and a half times as many seconds.
        realtime={"HEARTBEAT": 1},
    ) as site:
        yield site


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    """Without tabs and cookies; no page may fail."""
    chromium.errors()
    yield chromium
    chromium.sweep()
    assert chromium.errors() == []


@pytest.fixture
def site(everlasting: Site, keeping: Server, cache_on: Callable[..., object]) -> Site:
    """The site, running; this process publishes to the server that it reads."""
    assert everlasting.process is not None
    if everlasting.process.poll() is not None:
        everlasting.start()
    cache_on(keeping)
    return everlasting


_numbers = itertools.count()


@pytest.fixture
def channel() -> Callable[[str], str]:
    """Return what names a channel that is new."""
    seen.clear()
    return lambda kind: f"{kind}:{next(_numbers)}"
