"""What a layer comes through: nothing twice, nothing out of order, nothing silent.

Senders repeat what was certainly not sent; what became of a message that may have been
sent nobody knows, so it may be there or not.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from redpony.errors import RedponyError, Unavailable
from tests.places import Handle

PATIENCE = 30


async def get(layer: Any, channel: str) -> Any:
    return await asyncio.wait_for(layer.receive(channel), PATIENCE)


class Crowd:
    """Consumers of one layer, and the numbers that each has received."""

    def __init__(self, layer: Any, count: int) -> None:
        self.layer = layer
        self.count = count
        self.found: dict[str, list[int]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def gather(self, group: str) -> None:
        for _ in range(self.count):
            channel = await self.layer.new_channel()
            await self.layer.group_add(group, channel)
            self.found[channel] = []
            self.tasks.append(asyncio.create_task(self._consume(channel)))

    async def _consume(self, channel: str) -> None:
        while True:
            message = await self.layer.receive(channel)
            self.found[channel].append(message["number"])

    async def all_have(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while not all(  # noqa: ASYNC110
                number in found for found in self.found.values()
            ):
                await asyncio.sleep(0.01)

    async def disperse(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


class Sender:
    """Sends numbers; knows which were accepted, and of which nobody knows."""

    def __init__(self, send: Callable[[dict[str, int]], Any]) -> None:
        self.send = send
        self.number = 0
        self.sent: list[int] = []
        self.unknown: set[int] = set()

    async def say(self) -> int:
        """Send the next number until it is accepted, or may have been."""
        number = self.number = self.number + 1
        while True:
            try:
                await self.send({"number": number})
            except RedponyError as error:
                if error.outcome in ("not_sent", "not_executed"):
                    await asyncio.sleep(0.02)
                    continue
                self.unknown.add(number)
                return number
            self.sent.append(number)
            return number

    def check(self, found: list[int]) -> None:
        """Assert that all came that was sent, once and in its order."""
        assert found == sorted(set(found))
        assert set(self.sent) - set(found) == set()
        assert set(found) <= {*self.sent, *self.unknown}


def test_a_server_that_hangs_up_costs_no_message(make_layer, server: Handle):
    async def test() -> None:
        layer, other = make_layer(capacity=1000), make_layer(capacity=1000)
        crowd = Crowd(layer, 10)
        await crowd.gather("group")
        mine = await layer.new_channel()
        direct = Sender(lambda message: other.send(mine, message))
        group = Sender(lambda message: other.group_send("group", message))
        for turn in range(60):
            if turn % 15 == 7:
                server.hang_up()
            await group.say()
            await direct.say()
        await crowd.all_have(group.sent[-1])
        for found in crowd.found.values():
            group.check(found)
        found = []
        while not found or found[-1] != direct.sent[-1]:
            found.append((await get(layer, mine))["number"])
        direct.check(found)
        await crowd.disperse()

    asyncio.run(test())


def test_a_server_that_has_lost_all_is_told_who_is_in_a_group(
    cold_server, cache_on, new_layer
):
    with_server = cold_server()
    cache_on(with_server)

    async def test() -> None:
        layer, other = new_layer(), new_layer()
        crowd = Crowd(layer, 5)
        await crowd.gather("group")
        group = Sender(lambda message: other.group_send("group", message))
        await group.say()
        await crowd.all_have(1)
        await asyncio.to_thread(with_server.kill)
        with pytest.raises(Unavailable):
            await other.group_send("group", {"number": 0})
        await asyncio.to_thread(with_server.restart)
        # What is sent before the process is back reaches nobody, and it is soon back.
        async with asyncio.timeout(PATIENCE):
            while not all(len(found) > 1 for found in crowd.found.values()):
                await group.say()
                await asyncio.sleep(0.05)
        await group.say()
        await group.say()
        await crowd.all_have(group.sent[-1])
        for found in crowd.found.values():
            assert found == sorted(set(found))
            assert found[-2:] == group.sent[-2:]
        await crowd.disperse()

    asyncio.run(test())


@pytest.mark.forms("cluster")
def test_a_slot_that_moves_costs_no_message(make_layer, server: Any):
    async def test() -> None:
        layer, other = make_layer(capacity=1000), make_layer(capacity=1000)
        crowd = Crowd(layer, 5)
        await crowd.gather("group")
        group = Sender(lambda message: other.group_send("group", message))
        for _ in range(20):
            await group.say()
        slot = server.slot_of(layer._terms.group("group").log)
        source = server.node_for(slot)
        target = next(each for each in server.primaries if each is not source)
        moving = asyncio.create_task(asyncio.to_thread(server.move_slot, slot, target))
        while not moving.done():
            await group.say()
        await moving
        for _ in range(20):
            await group.say()
        await crowd.all_have(group.sent[-1])
        for found in crowd.found.values():
            group.check(found)
        await crowd.disperse()
        await asyncio.to_thread(server.move_slot, slot, source)

    asyncio.run(test())


@pytest.mark.forms("replicated", "sentinel", "cluster")
def test_a_failover_is_followed(make_layer, server: Any, places):
    async def test() -> None:
        layer, other = make_layer(), make_layer()
        crowd = Crowd(layer, 5)
        await crowd.gather("group")
        group = Sender(lambda message: other.group_send("group", message))
        await crowd.all_have(await group.say())
        if hasattr(server, "promote"):
            await asyncio.to_thread(server.promote)
        elif hasattr(server, "sentinels"):
            await asyncio.to_thread(server.failover)
        else:
            slot = server.slot_of(layer._terms.group("group").log)
            await asyncio.to_thread(server.failover, server.node_for(slot))
        async with asyncio.timeout(PATIENCE):
            while not all(found[-1] > 1 for found in crowd.found.values()):
                await group.say()
                await asyncio.sleep(0.05)
        await crowd.all_have(group.number) if group.sent[-1] == group.number else None
        for found in crowd.found.values():
            assert found == sorted(set(found))
        await crowd.disperse()

    asyncio.run(test())
    server.heal()


def test_a_consumer_that_is_slow_costs_bounded_memory_and_nobody_else(
    make_layer, server: Handle
):
    async def test() -> None:
        layer = make_layer(capacity=50)
        crowd = Crowd(layer, 3)
        await crowd.gather("group")
        slow = await layer.new_channel()
        await layer.group_add("group", slow)
        for number in range(200):
            await layer.group_send("group", {"number": number})
        await crowd.all_have(199)
        for found in crowd.found.values():
            assert found == list(range(200))
        assert len(layer._office.boxes[slow].items) == 50
        assert layer.dropped == 150
        assert [(await get(layer, slow))["number"] for _ in range(50)] == list(
            range(50)
        )
        await crowd.disperse()

    asyncio.run(test())


def test_who_never_reads_is_in_no_group_any_more(make_layer, server: Handle):
    async def test() -> None:
        layer = make_layer(expiry=1)
        crowd = Crowd(layer, 1)
        await crowd.gather("group")
        gone = await layer.new_channel()
        await layer.group_add("group", gone)
        await layer.group_send("group", {"number": 1})
        await crowd.all_have(1)
        async with asyncio.timeout(PATIENCE):
            while gone in layer._office.boxes:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await layer.group_send("group", {"number": 2})
        await crowd.all_have(2)
        assert gone not in layer._office.boxes
        await crowd.disperse()

    asyncio.run(test())


@pytest.mark.forms("single")
def test_a_thousand_consumers_connect_at_once(make_layer, server: Any):
    async def test() -> None:
        layer = make_layer()
        found: list[int] = []

        async def connect() -> None:
            channel = await layer.new_channel()
            await layer.group_add("group", channel)
            found.append((await layer.receive(channel))["number"])

        before = len(server.ask("CLIENT", "LIST").splitlines())
        tasks = [asyncio.create_task(connect()) for _ in range(1000)]
        while len(layer._office.boxes) < 1000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        after = len(server.ask("CLIENT", "LIST").splitlines())
        # One for commands, one to listen.
        assert after - before == 2
        server.settled()
        with server.counting() as counted:
            await layer.group_send("group", {"number": 7})
            await asyncio.gather(*tasks)
        assert counted.commands["evalsha"] == 1
        assert counted.commands["publish"] == 1
        assert found == [7] * 1000

    asyncio.run(test())


@pytest.mark.forms("single")
def test_what_a_consumer_leaves_behind_is_nothing(make_layer, server: Handle):
    async def test() -> None:
        layer = make_layer()
        for _ in range(3):
            crowd = Crowd(layer, 20)
            await crowd.gather("group")
            await layer.group_send("group", {"number": 1})
            await crowd.all_have(1)
            await crowd.disperse()
            for channel in crowd.found:
                await layer.group_discard("group", channel)
            assert layer._office.boxes == {}
            assert [each.name for each in layer._office.topics.values()] == [
                f"specific.{layer._office.identity}!"
            ]
        left = list(server.keys())
        assert not [each for each in left if each.endswith(b":members")]

    asyncio.run(test())


@pytest.mark.forms("single")
def test_threads_that_only_send_do_not_listen(make_layer, server: Any):
    from asgiref.sync import async_to_sync

    layer = make_layer(capacity=1000)

    def send() -> None:
        for _ in range(5):
            async_to_sync(layer.group_send)("group", {"number": 1})
            async_to_sync(layer.send)("normal", {"number": 1})

    threads = [threading.Thread(target=send) for _ in range(8)]
    with server.counting() as counted:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted.commands["evalsha"] == 80
    assert "subscribe" not in counted.commands
    assert layer._office.hubs == {}

    async def read() -> list[int]:
        return [(await get(layer, "normal"))["number"] for _ in range(40)]

    assert asyncio.run(read()) == [1] * 40
    assert layer._office.hubs == {}


@pytest.mark.forms("single")
def test_a_forked_process_has_channels_of_its_own(make_layer, server: Handle):
    layer = make_layer()

    async def new() -> str:
        return await layer.new_channel()

    async def refused(channel: str) -> bool:
        try:
            await asyncio.wait_for(layer.receive(channel), PATIENCE)
        except ValueError:
            return True
        return False

    channel = asyncio.run(new())
    child = os.fork()
    if not child:
        try:
            good = asyncio.run(refused(channel)) and asyncio.run(new()) != channel
            os._exit(0 if good else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.forms("single")
def test_one_message_that_cannot_be_read_harms_no_other(make_layer, server: Handle):
    async def test() -> None:
        layer = make_layer()
        secret = make_layer(symmetric_encryption_keys=["secret"])
        await layer.send("normal", {"number": 1})
        await secret.send("normal", {"number": 2})
        assert await get(secret, "normal") == {"number": 2}
        assert secret.dropped == 1

    asyncio.run(test())
