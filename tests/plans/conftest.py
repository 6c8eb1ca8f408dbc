"""The drivers that a plan meets: both real ones, and the scripted one in both
colours. A test that asks for `world` runs under all four."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redpony.testing import ScriptedDriver
from redpony.wire.config import LinkConfig, Tcp
from redpony.wire.link import Link
from tests.colours import Colour
from tests.plans.toy import Toy


class World:
    """A driver in one colour, with something behind it that answers commands."""

    def __init__(self, driver: Any, colour: Colour, *, real: bool) -> None:
        self.driver = driver
        self.colour = colour
        self.real = real

    @property
    def is_async(self) -> bool:
        return self.colour.is_async

    def run(self, plan: Any) -> Any:
        """Return the plan's result, as a caller of the public method gets it."""
        if self.is_async:
            return self.colour.run(self.driver.arun(plan))
        return self.driver.run(plan)


@pytest.fixture(params=["blocking", "asyncio", "scripted", "scripted in asyncio"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Return each driver in turn, on a server without data."""
    with Colour("async" if "asyncio" in request.param else "sync") as colour:
        if request.param.startswith("scripted"):
            yield World(ScriptedDriver(server=Toy()), colour, real=False)
            return
        server = request.getfixturevalue("valkey")
        server.flush()
        link = Link(LinkConfig(Tcp(server.host, server.port)))
        yield World(link, colour, real=True)
        link.close()
