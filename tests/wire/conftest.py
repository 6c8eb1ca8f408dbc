"""Links for the wire's tests, asked in the test's colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redpony.wire.config import Tcp
from tests.colours import Colour
from tests.wire.links import Wire

MakeWire = Callable[..., Wire]


@pytest.fixture
def wire(colour: Colour) -> Iterator[MakeWire]:
    """Return a function that makes a link to whatever has a host and a port.

    `wire(server, deadline=5)`: further arguments are the link's configuration.
    Deadlines are generous unless given: a busy machine must not decide a test.
    """
    made: list[Wire] = []

    def make(target: Any = None, **config: Any) -> Wire:
        if target is not None:
            config.setdefault("address", Tcp(target.host, target.port))
        config.setdefault("deadline", 5.0)
        config.setdefault("connect_timeout", 5.0)
        link = Wire.to(colour, **config)
        made.append(link)
        return link

    yield make
    for link in made:
        link.close()
