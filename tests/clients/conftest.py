"""The clients of an alias, asked in both colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redpony import aget_redis, get_redis
from tests.colours import Colour

Ask = Callable[..., Any]


@pytest.fixture
def ask(colour: Colour) -> Ask:
    """Return a function that asks the client of the default alias: `ask("set", "k", 1)`."""

    def ask(name: str, *words: Any, **options: Any) -> Any:
        if not colour.is_async:
            return getattr(get_redis(), name)(*words, **options)

        async def work() -> Any:
            return await getattr(aget_redis(), name)(*words, **options)

        return colour.run(work())

    return ask
