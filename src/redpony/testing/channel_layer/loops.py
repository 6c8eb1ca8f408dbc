"""Event loops that come and go, and threads that share a layer."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync

from redpony.testing.channel_layer.base import MakeLayer, Receiving


class Loops(Receiving):
    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_each_call_may_have_an_event_loop_of_its_own(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        layer = make_layer()
        channel = async_to_sync(layer.new_channel)() if own else "normal"
        async_to_sync(layer.group_add)("group", channel)
        for number in (1, 3, 5):
            async_to_sync(layer.send)(channel, {"number": number})
            assert self.run(self.numbers(layer, channel, 1)) == [number]
            async_to_sync(layer.group_send)("group", {"number": number + 1})
            assert async_to_sync(layer.receive)(channel) == {"number": number + 1}

    def test_two_threads_receive_with_one_layer(self, make_layer: MakeLayer) -> None:
        layer = make_layer()

        def consume(name: str) -> list[int]:
            async def work() -> list[int]:
                channel = await layer.new_channel()
                await layer.group_add("group", channel)
                await layer.group_add(name, channel)
                await layer.send("ready", {"number": 0})
                return await self.numbers(layer, channel, 20)

            return asyncio.run(work())

        async def test() -> None:
            threads = [asyncio.to_thread(consume, name) for name in ("one", "two")]
            consumers = asyncio.gather(*threads)
            await self.numbers(layer, "ready", 2)
            for number in range(10):
                await layer.group_send("group", {"number": number})
            for number in range(10, 20):
                await layer.group_send("one", {"number": number})
                await layer.group_send("two", {"number": number})
            assert await consumers == [list(range(20))] * 2

        self.run(test())

    def test_it_names_what_it_extends(self, make_layer: MakeLayer) -> None:
        layer = make_layer()
        assert {"groups", "flush"} <= set(layer.extensions)
        assert issubclass(layer.ChannelFull, Exception)
        assert issubclass(layer.MessageTooLarge, Exception)
