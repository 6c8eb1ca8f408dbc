"""Channels' specification of a channel layer, as tests for any layer.

Subclass it and say how a layer is made; pytest collects the rest:

    class TestMyLayer(ChannelLayerSpecification):
        @pytest.fixture
        def make_layer(self):
            return lambda **config: MyLayer(hosts=[...], **config)

Layers that one test makes have to meet each other as two processes do, and nothing may be
there when it begins. `config` is what the specification names: `expiry`, `group_expiry`,
`capacity` and `channel_capacity`. Each test runs in event loops of its own.

`receives` tells how long to wait for a message that has to come (seconds): no test asserts
how fast it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull, MessageTooLarge

T = TypeVar("T")
MakeLayer = Callable[..., Any]

EVERY_TYPE: dict[str, Any] = {
    "type": "every.type",
    "bytes": b"\x00\xff",
    "text": "text \U0001f40e \uffff",
    "integers": [0, -1, 2**63 - 1, -(2**63)],
    "float": 1.5,
    "list": [1, [2, {"three": b"3"}]],
    "dict": {"a": {"b": None}},
    "flags": [True, False, None],
}
MEGABYTE = "m" * 1_000_000


class ChannelLayerSpecification:
    """What every channel layer has to do."""

    receives = 15.0
    silence = 0.3
    """Seconds after which a message that must not come is taken not to come."""

    def run(self, test: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(test)

    async def receive(self, layer: Any, channel: str) -> Any:
        """Return the next message of a channel, which has to come."""
        return await asyncio.wait_for(layer.receive(channel), self.receives)

    async def numbers(self, layer: Any, channel: str, count: int) -> list[int]:
        """Return the numbers of the next messages of a channel."""
        return [(await self.receive(layer, channel))["number"] for _ in range(count)]

    async def nothing_comes(self, layer: Any, channel: str) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(layer.receive(channel), self.silence)

    async def waiting(self, layer: Any, channel: str) -> asyncio.Task[Any]:
        """Return a task that has been in `receive()` for a while."""
        task = asyncio.create_task(layer.receive(channel))
        await asyncio.sleep(0.1)
        assert not task.done()
        return task

    # Messages

    @pytest.mark.parametrize("own", [False, True], ids=["normal", "specific"])
    def test_a_message_may_hold_every_type(
        self, make_layer: MakeLayer, own: bool
    ) -> None:
        async def test() -> None:
            layer = make_layer()
            channel = await layer.new_channel() if own else "normal.channel"
            await layer.send(channel, EVERY_TYPE)
            assert await self.receive(layer, channel) == EVERY_TYPE

        self.run(test())

    def test_a_tuple_comes_as_a_list(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer()
            await layer.send("normal", {"tuple": (1, 2)})
            assert await self.receive(layer, "normal") == {"tuple": [1, 2]}

        self.run(test())

    @pytest.mark.parametrize("message", ["text", b"bytes", None, [("a", 1)]])
    def test_a_message_is_a_dict(self, make_layer: MakeLayer, message: Any) -> None:
        async def test() -> None:
            layer = make_layer()
            with pytest.raises((TypeError, AssertionError)):
                await layer.send("normal", message)
            with pytest.raises((TypeError, AssertionError)):
                await layer.group_send("group", message)

        self.run(test())

    def test_a_message_of_a_megabyte_arrives(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer()
            mine = await layer.new_channel()
            await layer.group_add("group", mine)
            message = {"text": MEGABYTE}
            await layer.send("normal", message)
            assert await self.receive(layer, "normal") == message
            await layer.send(mine, message)
            assert await self.receive(layer, mine) == message
            await layer.group_send("group", message)
            assert await self.receive(layer, mine) == message

        self.run(test())

    def test_a_receiver_may_change_its_message(self, make_layer: MakeLayer) -> None:
        async def test() -> None:
            layer = make_layer()
            several = [await layer.new_channel() for _ in range(3)]
            for channel in several:
                await layer.group_add("group", channel)
            for message in ({"a": 1}, {"a": 1, "list": [{"b": 2}]}):
                await layer.group_send("group", message)
                for channel in several:
                    found = await self.receive(layer, channel)
                    assert found == message
                    found["a"] = 2
                    for each in found.get("list", []):
                        each["b"] = 3

        self.run(test())

    # Channels

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

    # Names

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

    # Capacity and expiry

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

    # Groups

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

    # Flush

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

    # Loops

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
