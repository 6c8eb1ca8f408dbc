"""Who is on a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from redpony.realtime import Channel, presence
from redpony.realtime.asking import identity_of
from redpony.realtime.hub import hub_for
from redpony.realtime.presences import LEASE, member_of, saying
from tests.places import Handle
from tests.realtime.browsing import Browser, Talk
from tests.realtime.process import Site
from tests.realtime.site import Flight
from tests.servers import Server

Run = Callable[[Any], Any]


class Lobby(Channel):
    pattern = "lobby:{number:int}"
    presence = True


def test_who_is_there_is_the_same_everywhere(run: Run, place: Handle) -> None:
    channel = Lobby(number=1)
    ann, again, bob = (
        member_of("c1", "1", {"name": "Ann"}),
        member_of("c2", "1", {"name": "Ann"}),
        member_of("c3", "", None),
    )

    async def main() -> None:
        ask = hub_for(channel.alias).ask
        async with channel.subscribe() as messages:
            for member, told in ((ann, 1), (again, 0), (ann, 0), (bob, 1)):
                assert await ask(saying(channel, [member], here=True)) == told
            found = await presence(channel).amembers()
            assert [(each.user, each.connections) for each in found] == [
                ("1", 2),
                ("~c3", 1),
            ]
            assert found[0].about == {"name": "Ann"}
            for member, told in ((ann, 0), (ann, 0), (again, 1), (bob, 1)):
                assert await ask(saying(channel, [member], here=False)) == told
            events = [await anext(messages) for _ in range(4)]
        assert [(each.event, each.data["user"]) for each in events] == [
            ("join", "1"),
            ("join", "~c3"),
            ("leave", "1"),
            ("leave", "~c3"),
        ]
        assert events[0].data["about"] == {"name": "Ann"}

    run(main())
    assert presence("lobby:1").members() == []
    assert presence("lobby:1").count() == 0


def test_who_dies_is_gone_when_its_time_is_over(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channel = Lobby(number=2)

    async def main() -> None:
        ask = hub_for(channel.alias).ask
        async with channel.subscribe() as messages:
            await ask(saying(channel, [member_of("c1", "1", None)], here=True))
            valkey.ask("ZADD", channel.keys.here, 1, member_of("c1", "1", None))
            assert await presence(channel).amembers() == []
            # Whoever comes next tells of it.
            await ask(saying(channel, [member_of("c2", "2", None)], here=True))
            events = [await anext(messages) for _ in range(3)]
        assert [(each.event, each.data["user"]) for each in events] == [
            ("join", "1"),
            ("join", "2"),
            ("leave", "1"),
        ]

    run(main())
    for key in (channel.keys.here, channel.keys.users):
        assert 0 < valkey.ask("PTTL", key) <= 2000 * LEASE


def test_browsers_are_seen(run: Run, site: Site, valkey: Server, cache_on: Any) -> None:
    valkey.flush()
    cache_on(valkey)
    ann, hers = site.enter("ann")
    bob, his = site.enter("bob")

    async def main() -> None:
        path = "/events/?channel=flight:7"
        async with Browser(site, path, hers) as first:
            (join,) = await first.take(1)
            assert (join.type, join.json) == (
                "join",
                {"user": str(ann), "about": {"name": "ann"}},
            )
            async with Talk(site, path, his) as second, Browser(site, path, his):
                assert (await first.take(1))[0].json["user"] == str(bob)
                await second.until("subscribed")
                await asyncio.sleep(0)
                found = await settled(2)
                assert [each.user for each in found] == [str(ann), str(bob)]
                assert found[1].connections in (1, 2)
            (leave,) = await first.take(1)
            assert (leave.type, leave.json["user"]) == ("leave", str(bob))
        assert await settled(0) == []

    async def settled(count: int) -> list[Any]:
        async with asyncio.timeout(10):
            while True:
                found = await presence(Flight(number=7)).amembers()
                if len(found) == count:
                    return found
                await asyncio.sleep(0.02)

    run(main())


@pytest.mark.parametrize("pk", [None, 7])
def test_who_is_not_known_has_no_identity(pk: int | None) -> None:
    class User:
        pass

    user = User()
    user.pk = pk  # type: ignore[attr-defined]
    assert identity_of(user) == ("" if pk is None else "7")
