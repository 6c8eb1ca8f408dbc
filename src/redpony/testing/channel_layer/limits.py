"""Capacity, expiry, and the largest message."""

from __future__ import annotations

import asyncio

import pytest
from channels.exceptions import ChannelFull, MessageTooLarge

from redpony.testing.channel_layer.base import MEGABYTE, MakeLayer, Receiving


class Limits(Receiving):
    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_a_full_channel_refuses_until_somebody_reads(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        async def test() -> None:
            layer = make_layer(capacity=3)
            channel = await layer.new_channel() if own else "normal"
            for number in range(3):
                await layer.send(channel, {"number": number})
            with pytest.raises(ChannelFull):
                await layer.send(channel, {"number": 3})
            assert await self.numbers(layer, channel, 1) == [0]
            await layer.send(channel, {"number": 4})
            assert await self.numbers(layer, channel, 3) == [1, 2, 4]

        self.run(test())

    def test_the_channels_of_a_process_share_their_capacity(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer = make_layer(capacity=2)
            one, two = await layer.new_channel(), await layer.new_channel()
            await layer.send(one, {"number": 1})
            await layer.send(two, {"number": 2})
            with pytest.raises(ChannelFull):
                await layer.send(one, {"number": 3})
            assert await self.numbers(layer, two, 1) == [2]
            await layer.send(one, {"number": 4})
            assert await self.numbers(layer, one, 2) == [1, 4]

        self.run(test())

    def test_a_pattern_has_a_capacity_of_its_own(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer(capacity=1, channel_capacity={"wide.*": 3})
            for number in range(3):
                await layer.send("wide.one", {"number": number})
            with pytest.raises(ChannelFull):
                await layer.send("wide.one", {"number": 3})
            await layer.send("narrow", {"number": 0})
            with pytest.raises(ChannelFull):
                await layer.send("narrow", {"number": 1})

        self.run(test())

    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_a_message_that_nobody_reads_expires(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        async def test() -> None:
            layer = make_layer(expiry=1, capacity=1)
            channel = await layer.new_channel() if own else "normal"
            await layer.send(channel, {"number": 1})
            await asyncio.sleep(1.5)
            # It makes room, too.
            await layer.send(channel, {"number": 2})
            assert await self.numbers(layer, channel, 1) == [2]

        self.run(test())

    def test_a_message_that_is_too_large_is_refused(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer = make_layer()
            message = {"text": MEGABYTE * 64}
            with pytest.raises(MessageTooLarge):
                await layer.send("normal", message)
            with pytest.raises(MessageTooLarge):
                await layer.group_send("group", message)

        self.run(test())
