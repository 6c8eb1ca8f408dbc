"""Where a channel is: what a page is rendered with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redpony.realtime import (
    Channel,
    aposition_of,
    apublish,
    position_of,
    publish,
    subscribe,
)
from tests.places import Handle

Run = Callable[[Any], Any]


class Shown(Channel):
    pattern = "shown:{number:int}"


def test_a_channel_is_where_its_last_message_is(run: Run, place: Handle) -> None:
    assert str(position_of(Shown(number=1))) == "0-0"
    for number in range(3):
        at = publish(Shown(number=1), number)
    assert position_of("shown:1") == at
    assert str(position_of(Shown(number=2))) == "0-0"

    async def main() -> None:
        assert await aposition_of(Shown(number=1)) == at

    run(main())


def test_who_reads_on_from_there_is_told_of_all_that_came_after(
    run: Run, place: Handle
) -> None:
    async def main() -> None:
        for before in ("nothing", "something"):
            position = await aposition_of("shown:3")
            await apublish("shown:3", f"after {before}")
            async with subscribe("shown:3", since=position) as messages:
                assert (await anext(messages)).data == f"after {before}"  # type: ignore[union-attr]

    run(main())
