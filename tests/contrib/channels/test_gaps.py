"""A push that is lost, late, or said twice: numbers tell, and the server has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE = 30


async def get(layer: Any, channel: str) -> Any:
    return (await asyncio.wait_for(layer.receive(channel), PATIENCE))["number"]


class Wire:
    """What the servers push to a layer in this loop; each push can be looked at first.

    `filter` is called with the name of what was pushed and the push, and returns the
    pushes that the layer hears, perhaps none.
    """

    def __init__(self, layer: Any) -> None:
        hub = layer._office.hubs[asyncio.get_running_loop()]
        self._hear = hub.message
        self.filter: Callable[[bytes, bytes], list[bytes]] = lambda _, push: [push]
        hub._subscriptions.message = self._message

    def _message(self, name: bytes, push: bytes, pattern: bytes | None) -> None:
        for each in self.filter(name, push):
            self._hear(name, each, pattern)

    def say(self, name: bytes, push: bytes) -> None:
        self._hear(name, push, None)


async def one_member(layer: Any) -> str:
    """Return a channel in the group "group", whose messages are heard."""
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.group_send("group", {"number": 0})
    await layer.send(channel, {"number": 0})
    assert [await get(layer, channel) for _ in range(2)] == [0, 0]
    return channel


@pytest.mark.parametrize("to", ["group", "channel"])
def test_a_push_that_is_lost_is_read_when_the_next_comes(make_layer, server, to):
    async def test() -> None:
        layer, other = make_layer(), make_layer()
        channel = await one_member(layer)
        wire, lost = Wire(layer), []

        async def send(number: int) -> None:
            if to == "group":
                await other.group_send("group", {"number": number})
            else:
                await other.send(channel, {"number": number})

        def lose(name: bytes, push: bytes) -> list[bytes]:
            lost.append(push)
            return [] if len(lost) in (2, 3, 5) else [push]

        wire.filter = lose
        for number in range(1, 7):
            await send(number)
        assert [await get(layer, channel) for _ in range(6)] == list(range(1, 7))
        assert len(lost) == 6

    asyncio.run(test())


def test_a_push_that_is_heard_twice_is_received_once(make_layer, server):
    async def test() -> None:
        layer, other = make_layer(), make_layer()
        channel = await one_member(layer)
        wire, before = Wire(layer), []

        def repeat(name: bytes, push: bytes) -> list[bytes]:
            before.append(push)
            return [push, *before]

        wire.filter = repeat
        for number in range(1, 6):
            await other.group_send("group", {"number": number})
        assert [await get(layer, channel) for _ in range(5)] == [1, 2, 3, 4, 5]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(layer.receive(channel), 0.2)

    asyncio.run(test())


def test_who_hears_late_that_it_has_joined_misses_nothing(make_layer, server):
    async def test() -> None:
        layer, other = make_layer(), make_layer()
        first, second = await one_member(layer), await layer.new_channel()
        wire, held = Wire(layer), []

        def hold(name: bytes, push: bytes) -> list[bytes]:
            if b":channels-inbox:" not in name:
                return [push]
            held.append((name, push))
            return []

        wire.filter = hold
        await other.group_send("group", {"number": 1})
        await other.group_add("group", second)
        for number in (2, 3):
            await other.group_send("group", {"number": number})
        assert [await get(layer, first) for _ in range(3)] == [1, 2, 3]
        while not held:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        wire.say(*held.pop())
        wire.filter = lambda _, push: [push]
        await other.group_send("group", {"number": 4})
        assert [await get(layer, second) for _ in range(3)] == [2, 3, 4]
        assert await get(layer, first) == 4
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(layer.receive(second), 0.2)

    asyncio.run(test())


@pytest.mark.forms("single")
@pytest.mark.parametrize("to", ["group", "channel", "normal"])
def test_what_was_sent_while_nobody_listened_is_there_afterwards(
    make_layer, server: Any, to: str
):
    async def test() -> None:
        layer, other = make_layer(), make_layer()
        channel = await one_member(layer)
        name = "normal" if to == "normal" else channel
        task = asyncio.create_task(get(layer, name))
        await asyncio.sleep(0.1)
        # Nothing comes afterwards that would tell of it.
        with server.connect() as client:
            client.client_kill_filter(_type="pubsub")
            if to == "group":
                await other.group_send("group", {"number": 1})
            else:
                await other.send(name, {"number": 1})
        assert await task == 1

    asyncio.run(test())


@pytest.mark.forms("single")
def test_more_than_the_log_holds_is_dropped_from_its_beginning(make_layer, server: Any):
    async def test() -> None:
        layer, other = make_layer(capacity=10), make_layer(capacity=10)
        channel = await one_member(layer)
        wire = Wire(layer)
        wire.filter = lambda _, push: []
        for number in range(1, 1001):
            await other.group_send("group", {"number": number})
        wire.filter = lambda _, push: [push]
        await other.group_send("group", {"number": 1001})
        found = [await get(layer, channel) for _ in range(10)]
        assert found == sorted(set(found))
        assert found[0] > 1
        assert layer.dropped > 0

    asyncio.run(test())
