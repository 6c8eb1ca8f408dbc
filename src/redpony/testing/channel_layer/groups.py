"""Groups, across processes."""

from __future__ import annotations

import asyncio

from redpony.testing.channel_layer.base import MakeLayer, Receiving


class Groups(Receiving):
    def test_a_group_is_told_once_each(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layers = [make_layer() for _ in range(2)]
            members = [
                (layer, await layer.new_channel()) for layer in layers for _ in range(3)
            ]
            for layer, channel in members:
                await layer.group_add("group", channel)
                await layer.group_add("group", channel)
            await layers[0].group_send("group", {"number": 1})
            for layer, channel in members:
                assert await self.numbers(layer, channel, 1) == [1]
                await self.nothing_comes(layer, channel)

        self.run(test())

    def test_a_groups_messages_come_in_their_order(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer, other = make_layer(capacity=1000), make_layer(capacity=1000)
            members = [await layer.new_channel() for _ in range(5)]
            for channel in members:
                await layer.group_add("group", channel)
            readers = [
                asyncio.create_task(self.numbers(layer, channel, 200))
                for channel in members
            ]
            for number in range(200):
                await other.group_send("group", {"number": number})
            for found in await asyncio.gather(*readers):
                assert found == list(range(200))

        self.run(test())

    def test_who_joined_has_what_is_sent_before_it_receives(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer, other = make_layer(), make_layer()
            channel = await layer.new_channel()
            await other.group_send("group", {"number": 0})
            await layer.group_add("group", channel)
            await other.group_send("group", {"number": 1})
            await layer.group_send("group", {"number": 2})
            assert await self.numbers(layer, channel, 2) == [1, 2]
            await self.nothing_comes(layer, channel)

        self.run(test())

    def test_one_senders_messages_to_a_channel_and_its_group_are_in_order(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer, other = make_layer(), make_layer()
            channel = await layer.new_channel()
            for name in ("one", "two"):
                await layer.group_add(name, channel)
            for number in range(0, 30, 3):
                await other.send(channel, {"number": number})
                await other.group_send("one", {"number": number + 1})
                await other.group_send("two", {"number": number + 2})
            assert await self.numbers(layer, channel, 30) == list(range(30))

        self.run(test())

    def test_what_was_sent_before_it_joined_does_not_come(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer = make_layer()
            first, second = await layer.new_channel(), await layer.new_channel()
            await layer.group_add("group", first)
            task = await self.waiting(layer, second)
            for number in range(20):
                await layer.group_send("group", {"number": number})
            await layer.group_add("group", second)
            await layer.group_send("group", {"number": 20})
            assert await asyncio.wait_for(task, self.receives) == {"number": 20}
            assert await self.numbers(layer, first, 21) == list(range(21))

        self.run(test())

    def test_who_has_left_gets_nothing(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer()
            stays, leaves = await layer.new_channel(), await layer.new_channel()
            for channel in (stays, leaves):
                await layer.group_add("group", channel)
            await layer.group_discard("group", leaves)
            await layer.group_discard("group", leaves)
            await layer.group_discard("another", leaves)
            await layer.group_send("group", {"number": 1})
            assert await self.numbers(layer, stays, 1) == [1]
            await self.nothing_comes(layer, leaves)
            await layer.group_add("group", leaves)
            await layer.group_send("group", {"number": 2})
            assert await self.numbers(layer, leaves, 1) == [2]

        self.run(test())

    def test_another_process_adds_and_removes(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer, other = make_layer(), make_layer()
            channel = await layer.new_channel()
            await other.group_add("group", channel)
            await other.group_send("group", {"number": 1})
            assert await self.numbers(layer, channel, 1) == [1]
            await other.group_discard("group", channel)
            await other.group_send("group", {"number": 2})
            await self.nothing_comes(layer, channel)
            await other.group_add("group", channel)
            await other.group_send("group", {"number": 3})
            assert await self.numbers(layer, channel, 1) == [3]

        self.run(test())

    def test_another_process_adds_to_a_group_that_is_heard_already(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer, other = make_layer(capacity=1000), make_layer(capacity=1000)
            first = await layer.new_channel()
            await layer.group_add("group", first)
            reading = asyncio.create_task(self.numbers(layer, first, 200))
            for number in range(0, 200, 10):
                channel = await layer.new_channel()
                task = await self.waiting(layer, channel)
                await other.group_add("group", channel)
                for each in range(number, number + 10):
                    await other.group_send("group", {"number": each})
                assert await asyncio.wait_for(task, self.receives) == {"number": number}
                assert await self.numbers(layer, channel, 9) == list(
                    range(number + 1, number + 10)
                )
                await other.group_discard("group", channel)
            assert await reading == list(range(200))

        self.run(test())

    def test_a_normal_channel_may_be_in_a_group(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer, other = make_layer(), make_layer()
            for channel in ("one", "two", "three"):
                await layer.group_add("group", channel)
            await other.group_discard("group", "two")
            await other.group_send("group", {"number": 1})
            assert await self.numbers(layer, "one", 1) == [1]
            assert await self.numbers(other, "three", 1) == [1]
            await self.nothing_comes(layer, "two")

        self.run(test())

    def test_a_full_member_misses_and_nobody_else_does(
        self, make_layer: MakeLayer
    ) -> None:
        async def test() -> None:
            layer = make_layer(capacity=3, channel_capacity={"wide.*": 100})
            slow = await layer.new_channel()
            quick = await layer.new_channel("wide")
            await layer.group_add("group", slow)
            await layer.group_add("group", "normal")
            await layer.group_add("group", quick)
            for number in range(10):
                await layer.group_send("group", {"number": number})
                assert await self.numbers(layer, quick, 1) == [number]
            assert await self.numbers(layer, slow, 3) == [0, 1, 2]
            assert await self.numbers(layer, "normal", 3) == [0, 1, 2]
            await self.nothing_comes(layer, slow)

        self.run(test())

    def test_a_membership_is_over_in_time(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer(group_expiry=1)
            assert layer.group_expiry == 1
            channel = await layer.new_channel()
            for name in (channel, "normal"):
                await layer.group_add("group", name)
            await layer.group_send("group", {"number": 1})
            for name in (channel, "normal"):
                assert await self.numbers(layer, name, 1) == [1]
            await asyncio.sleep(2.1)
            await layer.group_send("group", {"number": 2})
            for name in (channel, "normal"):
                await self.nothing_comes(layer, name)

        self.run(test())

    def test_two_groups_do_not_mix(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer()
            one, two = await layer.new_channel(), await layer.new_channel()
            await layer.group_add("one", one)
            await layer.group_add("two", two)
            await layer.group_add("both", one)
            await layer.group_add("both", two)
            await layer.group_send("one", {"number": 1})
            assert await self.numbers(layer, one, 1) == [1]
            await layer.group_send("two", {"number": 2})
            assert await self.numbers(layer, two, 1) == [2]
            await layer.group_send("both", {"number": 3})
            assert await self.numbers(layer, one, 1) == [3]
            assert await self.numbers(layer, two, 1) == [3]
            await layer.group_send("nobody", {"number": 4})

        self.run(test())

    def test_flush_leaves_nothing(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer()
            channel = await layer.new_channel()
            await layer.group_add("group", channel)
            await layer.group_add("group", "normal")
            await layer.send("normal", {"number": 1})
            await layer.send(channel, {"number": 2})
            await layer.group_send("group", {"number": 3})
            await layer.flush()
            await layer.group_send("group", {"number": 4})
            await self.nothing_comes(layer, "normal")
            await self.nothing_comes(layer, channel)
            await layer.group_add("group", channel)
            await layer.group_send("group", {"number": 5})
            assert await self.numbers(layer, channel, 1) == [5]
            await layer.send(channel, {"number": 6})
            assert await self.numbers(layer, channel, 1) == [6]

        self.run(test())
