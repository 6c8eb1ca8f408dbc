"""What a message may be, and that it is its receiver's own."""

from __future__ import annotations

from typing import Any

import pytest

from redpony.testing.channel_layer.base import MEGABYTE, MakeLayer, Receiving

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


class Messages(Receiving):
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
