"""The rights that channels need: none is missing, and none is superfluous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from redpony.conf import alias_config
from redpony.management.rights import user_for
from redpony.realtime import Channel, presence
from redpony.realtime.hub import hub_for
from redpony.realtime.presences import member_of, saying
from redpony.wire.handshake import Features
from tests.places import Handle

Run = Callable[[Any], Any]


class Right(Channel):
    pattern = "right:{number:int}"


async def everything(number: int) -> None:
    channel = Right(number=number)
    hub = hub_for(channel.alias)
    for each in (b"1", b"2"):
        # A run in which the server has to be sent a script's text, and one in which not.
        async with channel.subscribe() as messages:
            await channel.apublish("one")
            assert (await anext(messages)).data == "one"
            async with channel.subscribe(since="0-0") as again:
                await anext(again)
            member = member_of("c" + each.decode(), "7", None)
            for here in (True, False):
                await hub.ask(saying(channel, [member], here=here))
            assert await presence(channel).amembers() == []
        await asyncio.sleep(0)


def needed(sharded: bool) -> set[str]:
    config = alias_config("default")
    server = Features("redis", (7, 0))
    grants = user_for([config], server=server).grants
    return {
        word
        for each in grants
        if each.reason == "real time"
        for word in each.commands
        if word not in ("eval", "ping", "unsubscribe", "sunsubscribe")
    }


@pytest.mark.forms("guarded")
def test_each_right_is_needed(run: Run, place: Any) -> None:
    user = place.LOGIN[0]
    run(everything(0))
    for number, word in enumerate(sorted(needed(sharded=False)), 1):
        place.ask("SCRIPT", "FLUSH")
        place.ask("ACL", "SETUSER", user, f"-{word}")
        place.hang_up()

        async def refused(number: int = number) -> None:
            async with asyncio.timeout(3):
                await everything(number)

        with pytest.raises(Exception, match=r"NOPERM|permission|") as caught:
            run(refused())
        assert not isinstance(caught.value, AssertionError), word
        place.admit("default")


@pytest.mark.forms("cluster")
def test_a_cluster_s_user_speaks_to_slots(place: Handle) -> None:
    words = needed(sharded=True)
    assert {"ssubscribe", "spublish"} <= words
    assert not {"subscribe", "publish"} & words
