"""Channels: kept until somebody receives, in order, once; and their names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redpony.testing.channel_layer.base import MakeLayer, Receiving


class Channels(Receiving):
    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_what_is_sent_before_receive_is_kept(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        async def test() -> None:
            layer = make_layer()
            channel = await layer.new_channel() if own else "normal"
            for number in range(5):
                await layer.send(channel, {"number": number})
            assert await self.numbers(layer, channel, 5) == [0, 1, 2, 3, 4]
            await self.nothing_comes(layer, channel)

        self.run(test())

    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_another_process_sends_to_who_waits(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        async def test() -> None:
            layer, other = make_layer(), make_layer()
            channel = await layer.new_channel() if own else "normal"
            task = await self.waiting(layer, channel)
            await other.send(channel, {"number": 1})
            assert await asyncio.wait_for(task, self.receives) == {"number": 1}

        self.run(test())

    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_one_senders_messages_come_in_their_order(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        async def test() -> None:
            layer, other = make_layer(capacity=1000), make_layer(capacity=1000)
            channel = await layer.new_channel() if own else "normal"

            async def send() -> None:
                for number in range(300):
                    await other.send(channel, {"number": number})

            sending = asyncio.create_task(send())
            assert await self.numbers(layer, channel, 300) == list(range(300))
            await sending

        self.run(test())

    def test_a_message_has_one_reader(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layers = [make_layer(capacity=1000) for _ in range(3)]
            found: list[int] = []
            done = asyncio.Event()

            async def read(layer: Any) -> None:
                while True:
                    found.append((await layer.receive("normal"))["number"])
                    if len(found) >= 200:
                        done.set()

            readers = [
                asyncio.create_task(read(layer)) for layer in layers for _ in range(2)
            ]
            for number in range(200):
                await layers[0].send("normal", {"number": number})
            await asyncio.wait_for(done.wait(), self.receives)
            await asyncio.sleep(self.silence)
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
            assert sorted(found) == list(range(200))

        self.run(test())

    def test_channels_of_a_process_do_not_mix(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer()
            one, two = await layer.new_channel(), await layer.new_channel()
            assert one != two
            assert one.count("!") == two.count("!") == 1
            await layer.send(two, {"number": 2})
            await layer.send(one, {"number": 1})
            assert await self.numbers(layer, one, 1) == [1]
            assert await self.numbers(layer, two, 1) == [2]

        self.run(test())

    def test_a_new_channel_has_the_prefix_asked_for(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer = make_layer()
            channel = await layer.new_channel("custom")
            assert channel.startswith("custom")
            await layer.send(channel, {"number": 1})
            assert await self.numbers(layer, channel, 1) == [1]

        self.run(test())

    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_a_cancelled_receive_loses_nothing(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        async def test() -> None:
            layer, other = make_layer(capacity=1000), make_layer(capacity=1000)
            channel = await layer.new_channel() if own else "normal"
            found: list[int] = []

            async def read() -> None:
                # No await between what is received and what is noted.
                found.append((await layer.receive(channel))["number"])

            for number in range(100):
                task = asyncio.create_task(read())
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                sending = asyncio.create_task(other.send(channel, {"number": number}))
                for _ in range(number % 5):
                    await asyncio.sleep(0.0002 * (number % 3))
                task.cancel()
                await asyncio.wait([task, sending])
            while len(found) < 100:
                await asyncio.wait_for(read(), self.receives)
            assert found == list(range(100))

        self.run(test())

    @pytest.mark.parametrize(
        "name", ["¯\\_(ツ)_/¯", "chat", "chat.one", "a!b!c", "", "a b", "a" * 200]
    )
    def test_names_are_checked(self, make_layer: MakeLayer, name: str) -> None:
        async def test() -> None:
            layer = make_layer()
            if name in ("chat", "chat.one"):
                await layer.send(name, {"number": 1})
                await layer.group_add(name, name)
                await layer.group_discard(name, name)
                assert await self.numbers(layer, name, 1) == [1]
                return
            for call in (
                layer.send(name, {}),
                layer.receive(name),
                layer.group_add(name, "channel"),
                layer.group_add("group", name),
                layer.group_discard(name, "channel"),
                layer.group_send(name, {}),
            ):
                with pytest.raises((TypeError, AssertionError)):
                    await call

        self.run(test())

    def test_a_group_has_no_exclamation_mark(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            with pytest.raises((TypeError, AssertionError)):
                await make_layer().group_add("a!b", "channel")

        self.run(test())

    def test_a_name_may_have_99_characters(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer, name = make_layer(), "n" * 99
            await layer.send(name, {"number": 1})
            assert await self.numbers(layer, name, 1) == [1]

        self.run(test())
