"""Publishing, and reading in Python: in both colours, everywhere, without gaps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from redpony.realtime import (
    Channel,
    History,
    Message,
    Position,
    Reset,
    Skipped,
    Slow,
    apublish,
    apublish_many,
    listen,
    publish,
    publish_many,
    subscribe,
)
from tests.places import Handle
from tests.realtime.conftest import Settings
from tests.servers import Server, until

Run = Callable[[Any], Any]


class Orders(Channel):
    pattern = "reading-order:{order_id:int}"


class Short(Channel):
    pattern = "reading-short:{room}"
    history = History(10, 60)


class Fleeting(Channel):
    pattern = "reading-fleeting:{room}"
    history = None


class Skipping(Channel):
    pattern = "reading-skips:{room}"
    slow = Slow.SKIP


class Newest(Channel):
    pattern = "reading-newest:{room}"
    slow = Slow.LATEST


async def take(messages: Any, count: int) -> list[Any]:
    return [await anext(messages) for _ in range(count)]


def numbers(found: list[Any]) -> list[Any]:
    return [each.data for each in found]


@pytest.mark.usefixtures("place")
def test_what_is_published_from_the_begin_on_comes_in_order(run: Run) -> None:
    channel = Orders(order_id=7)

    async def main() -> None:
        async with channel.subscribe() as messages:
            positions = [await channel.apublish(number) for number in range(20)]
            found = await take(messages, 20)
        assert numbers(found) == list(range(20))
        assert [each.position for each in found] == positions
        offsets = [each.offset for each in positions if each]
        assert offsets == list(range(1, 21))

    run(main())


@pytest.mark.usefixtures("place")
def test_who_comes_back_is_told_what_it_missed(run: Run) -> None:
    channel = Orders(order_id=8)
    positions = [channel.publish(number) for number in range(1500)]

    async def within() -> None:
        async with channel.subscribe(since=str(positions[599])) as messages:
            assert numbers(await take(messages, 900)) == list(range(600, 1500))

    run(within())


@pytest.mark.usefixtures("place")
def test_what_the_history_does_not_have_any_more_is_announced(run: Run) -> None:
    channel = Short(room="a")
    positions = [channel.publish(number) for number in range(500)]

    async def main() -> None:
        async with channel.subscribe(since=positions[0]) as messages:
            first = await anext(messages)
            assert first == Reset(channel.name, positions[-1], first.why)
            await channel.apublish("next")
            assert (await anext(messages)).data == "next"

    run(main())


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("ahead", [Position(7, 1), Position(9_999_999_999_999, 1)])
def test_a_position_of_another_epoch_is_answered_by_a_reset(
    run: Run, ahead: Position
) -> None:
    channel = Orders(order_id=9)
    last = channel.publish("one")

    async def main() -> None:
        async with channel.subscribe(since=ahead) as messages:
            assert await anext(messages) == Reset(
                channel.name, last, "the channel has begun anew"
            )

    run(main())


@pytest.mark.usefixtures("place")
def test_from_before_the_first_message_on_nothing_is_missed(run: Run) -> None:
    channel = Orders(order_id=10)

    async def main() -> None:
        async with channel.subscribe() as messages:
            for number in range(3):
                await channel.apublish(number)
            assert numbers(await take(messages, 3)) == [0, 1, 2]
        async with channel.subscribe(since="0-0") as messages:
            assert numbers(await take(messages, 3)) == [0, 1, 2]

    run(main())


@pytest.mark.usefixtures("place")
def test_threads_read_too(run: Run) -> None:
    channel = Orders(order_id=11)
    with channel.listen(timeout=10) as messages:
        for number in range(250):
            channel.publish(number)
        assert [next(messages).data for _ in range(250)] == list(range(250))
    with channel.listen(timeout=0.05) as messages:
        assert list(messages) == []


@pytest.mark.usefixtures("place")
def test_several_channels_in_one_loop(run: Run) -> None:
    channels = [Orders(order_id=number) for number in range(30)]

    async def main() -> None:
        async with subscribe(*channels) as messages:
            sent = [(each, each.name) for each in channels] * 3
            positions = await apublish_many(sent)
            found = await take(messages, 90)
        by_channel: dict[str, list[Any]] = {}
        for each in found:
            assert each.data == each.channel
            by_channel.setdefault(each.channel, []).append(each.position)
        for number, channel in enumerate(channels):
            assert by_channel[channel.name] == positions[number::30]

    run(main())


@pytest.mark.usefixtures("place")
def test_many_at_once_go_in_one_flight() -> None:
    channel = Orders(order_id=12)
    positions = publish_many((channel, number) for number in range(50))
    assert [each.offset for each in positions if each] == list(range(1, 51))


@pytest.mark.usefixtures("place")
def test_without_history_messages_come_to_who_is_there(run: Run) -> None:
    channel = Fleeting(room="a")
    assert channel.publish("to nobody") is None

    async def main() -> None:
        async with channel.subscribe() as messages:
            assert await channel.apublish({"a": 1}) is None
            assert await anext(messages) == Message(channel.name, None, {"a": 1})

    run(main())


@pytest.mark.usefixtures("place")
def test_an_idempotency_key_publishes_once(run: Run) -> None:
    channel = Orders(order_id=13)
    first = channel.publish("one", idempotency_key="key")
    again = channel.publish("one", idempotency_key="key")
    assert first == again
    assert channel.publish("two") == Position(first.epoch, 2)  # type: ignore[union-attr]


@pytest.mark.usefixtures("place")
def test_nothing_but_the_channel_s_keys_is_touched(place: Handle) -> None:
    Orders(order_id=14).publish("one", idempotency_key="k")
    keys = sorted(each.decode() for each in place.keys())  # noqa: SIM118
    assert len(keys) == 3
    assert all(":rt" in each and each.startswith("redpony{rt") for each in keys)


def test_a_subscription_survives_its_connection(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channel = Orders(order_id=15)

    async def main() -> None:
        async with channel.subscribe() as messages:
            for cut in range(5):
                await asyncio.to_thread(valkey.hang_up)
                for number in range(20):
                    await asyncio.to_thread(publish_surely, channel, (cut, number))
            found = await take(messages, 100)
        assert [tuple(each.data) for each in found] == [
            (cut, number) for cut in range(5) for number in range(20)
        ]

    run(main())


def publish_surely(channel: Channel, payload: Any) -> None:
    """Publish again until it is known to have been: once, thanks to its key."""
    from redpony.errors import Unavailable

    key = repr(payload)
    while True:
        try:
            channel.publish(payload, idempotency_key=key)
        except Unavailable:
            continue
        return


def test_data_that_was_lost_is_announced(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channel = Orders(order_id=16)

    async def main() -> None:
        async with channel.subscribe() as messages:
            await channel.apublish("one")
            assert (await anext(messages)).data == "one"
            await asyncio.to_thread(valkey.flush)
            await asyncio.to_thread(valkey.hang_up)
            found = await anext(messages)
            assert isinstance(found, Reset)
            assert await channel.apublish("two") == Position(
                found.position.epoch,  # type: ignore[union-attr]
                1,
            )
            assert (await anext(messages)).data == "two"

    run(main())


def test_a_number_that_is_given_twice_is_noticed(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    """A replica that lacks the last messages takes over, and others publish there."""
    cache_on(valkey)
    channel = Orders(order_id=17)
    keys = channel.keys

    async def main() -> None:
        async with channel.subscribe() as messages:
            for number in range(5):
                await channel.apublish(number)
            assert numbers(await take(messages, 5)) == list(range(5))
            client = redis.Redis(host=valkey.host, port=valkey.port)
            before = client.dump(keys.stream), client.get(keys.at)
            head = await channel.apublish("fifth")
            assert (await anext(messages)).data == "fifth"
            # A server without the last message, and somebody who has not seen it.
            client.restore(keys.stream, 0, before[0], replace=True)
            client.set(keys.at, before[1])
            client.close()
            from redpony.realtime.publishing import seen

            seen.clear()
            assert await channel.apublish("another fifth") == head
            found = await anext(messages)
            assert isinstance(found, Reset)
            await channel.apublish("after it")
            assert (await anext(messages)).data == "after it"

    run(main())


def test_a_publisher_that_has_seen_more_begins_anew(
    valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channel = Orders(order_id=18)
    last = [channel.publish(number) for number in range(5)][-1]
    assert last is not None
    valkey.ask("SET", channel.keys.at, f"{last.epoch}-3")
    found = channel.publish("more")
    assert found is not None
    assert found.epoch > last.epoch
    assert found.offset == 1


def test_a_silent_connection_is_left(
    run: Run, valkey: Server, cache_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was published and not said is found by looking, and comes all the same."""
    from redpony.realtime import feed

    monkeypatch.setattr(feed, "CHECK", 0.2)
    cache_on(valkey)
    channel = Orders(order_id=19)

    async def main() -> None:
        async with channel.subscribe() as messages:
            await channel.apublish("one")
            first = await anext(messages)
            at = f"{first.position.epoch}-2"
            valkey.ask("XADD", channel.keys.stream, at, "d", 'j\n"unsaid"')
            valkey.ask("SET", channel.keys.at, at)
            assert (await anext(messages)).data == "unsaid"

    run(main())


def test_all_readers_of_a_loop_share_a_connection(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channels = [Orders(order_id=number) for number in range(20)]

    async def main() -> int:
        readers = [subscribe(each) for each in channels * 5]
        for each in readers:
            await each.__aenter__()
        found = valkey.ask("CLIENT", "LIST", "TYPE", "pubsub")
        for each in readers:
            await each.__aexit__(None, None, None)
        return len(found if isinstance(found, list) else found.splitlines())

    assert run(main()) == 1


def test_a_slow_reader_reads_on_from_the_history(
    run: Run, valkey: Server, cache_on: Any, configured: Settings
) -> None:
    cache_on(valkey)
    configured(BUFFER=2000)
    channel = Orders(order_id=20)

    async def main() -> None:
        async with channel.subscribe() as messages:
            for start in range(0, 800, 100):
                await apublish_many((channel, n) for n in range(start, start + 100))
                await asyncio.sleep(0.01)
            assert numbers(await take(messages, 800)) == list(range(800))

    run(main())


def test_a_slow_reader_skips_if_the_channel_says_so(
    run: Run, valkey: Server, cache_on: Any, configured: Settings
) -> None:
    cache_on(valkey)
    configured(BUFFER=1024)
    channel = Skipping(room="a")

    async def main() -> None:
        async with channel.subscribe() as messages:
            await apublish_many((channel, "x" * 100) for _ in range(300))
            await asyncio.sleep(0.2)
            found = []
            while not isinstance(each := await anext(messages), Skipped):
                found.append(each)
            assert len(found) + each.count == 300
            await channel.apublish("new")
            assert (await anext(messages)).data == "new"

    run(main())


def test_a_slow_reader_gets_the_newest_if_the_channel_says_so(
    run: Run, valkey: Server, cache_on: Any, configured: Settings
) -> None:
    cache_on(valkey)
    configured(BUFFER=1024)
    channel = Newest(room="a")

    async def main() -> None:
        async with channel.subscribe() as messages:
            await apublish_many((channel, "x" * 100 + str(n)) for n in range(300))
            await asyncio.sleep(0.2)
            found = []
            while not found or not found[-1].endswith("299"):
                found.append((await anext(messages)).data)
            assert len(found) < 30

    run(main())


def test_a_crowd_that_comes_back_costs_few_reads(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channel = Orders(order_id=21)
    first = channel.publish("first")
    publish_many((channel, number) for number in range(400))

    async def main() -> None:
        readers = [subscribe(channel, since=first) for _ in range(100)]
        entered = [await each.__aenter__() for each in readers]
        before = calls()
        for each in entered:
            assert numbers(await take(each, 400)) == list(range(400))
        assert calls() - before <= 2
        for each in readers:
            await each.__aexit__(None, None, None)

    def calls() -> int:
        stats = valkey.ask("INFO", "commandstats")
        return int(stats.get("cmdstat_xrange", {}).get("calls", 0))

    run(main())


def test_a_channel_that_the_server_refuses_is_an_error(run: Run, cache_on: Any) -> None:
    from redpony.errors import ServerError

    acl = ["user default on nopass ~* +@all -ssubscribe -subscribe resetchannels"]
    with Server("valkey", acl=acl, login=("default", "")) as server:
        cache_on(server)

        async def main() -> None:
            with pytest.raises(ServerError):
                async with Orders(order_id=1).subscribe() as messages:
                    await anext(messages)

        run(main())


def test_loops_of_threads_do_not_get_into_each_other_s_way(
    valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channel = Orders(order_id=22)
    ready = threading.Barrier(6)
    found: list[list[Any]] = []

    def one() -> None:
        async def main() -> None:
            async with channel.subscribe() as messages:
                await asyncio.to_thread(ready.wait)
                found.append(numbers(await take(messages, 50)))

        asyncio.run(main())

    threads = [threading.Thread(target=one) for _ in range(5)]
    for each in threads:
        each.start()
    ready.wait()
    for number in range(50):
        publish(channel, number)
    for each in threads:
        each.join()
    assert found == [list(range(50))] * 5


def test_a_channel_that_nobody_reads_any_more_is_let_go_of(
    run: Run, valkey: Server, cache_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redpony.realtime import hub

    monkeypatch.setattr(hub, "LINGERS", 0.05)
    cache_on(valkey)
    channel = Orders(order_id=23)

    async def main() -> None:
        async with channel.subscribe():
            assert valkey.ask("PUBSUB", "CHANNELS") == [channel.keys.stream]
        await asyncio.to_thread(
            until, lambda: not valkey.ask("PUBSUB", "CHANNELS"), "nobody listens", 5
        )
        await apublish(channel, 1)

    run(main())


@pytest.mark.usefixtures("place")
def test_listening_to_several(run: Run) -> None:
    with listen(Orders(order_id=24), Short(room="b"), timeout=5) as messages:
        publish("reading-short:b", "b")
        publish("reading-order:24", "a")
        found = {next(messages).channel, next(messages).channel}
    assert found == {"reading-order:24", "reading-short:b"}


def test_what_was_not_heard_is_read_when_the_next_one_is(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    cache_on(valkey)
    channel = Orders(order_id=25)

    async def main() -> None:
        async with channel.subscribe() as messages:
            await channel.apublish("one")
            first = await anext(messages)
            at = f"{first.position.epoch}-2"
            valkey.ask("XADD", channel.keys.stream, at, "d", 'j\n"unsaid"')
            valkey.ask("SET", channel.keys.at, at)
            await channel.apublish("three")
            assert numbers(await take(messages, 2)) == ["unsaid", "three"]

    run(main())


def test_what_was_said_while_nobody_could_hear_is_read_at_once(
    run: Run, valkey: Server, cache_on: Any
) -> None:
    """Though nothing is said after it."""
    cache_on(valkey)
    channel = Orders(order_id=26)

    async def main() -> None:
        async with channel.subscribe() as messages:
            for number in range(5):
                # In one flight: nobody can be back in between.
                client = redis.Redis(host=valkey.host, port=valkey.port)
                at = f"1-{number + 1}"
                with client.pipeline(transaction=True) as flight:
                    flight.client_kill_filter(_type="pubsub")
                    flight.xadd(channel.keys.stream, {"d": f"j\n{number}"}, id=at)
                    flight.set(channel.keys.at, at)
                    flight.execute()
                client.close()
                async with asyncio.timeout(10):
                    assert (await anext(messages)).data == number

    run(main())


def test_a_reader_that_is_slow_now_and_then_gets_all_in_order(
    run: Run, valkey: Server, cache_on: Any, configured: Settings
) -> None:
    cache_on(valkey)
    configured(BUFFER=1024)
    channel = Orders(order_id=27)

    async def say() -> None:
        for start in range(0, 900, 30):
            many = range(start, start + 30)
            await apublish_many((channel, [n, "x" * 100]) for n in many)
            await asyncio.sleep(0.002)

    async def main() -> None:
        async with channel.subscribe() as messages:
            saying = asyncio.create_task(say())
            for expected in range(900):
                assert (await anext(messages)).data[0] == expected
                if not expected % 40:
                    await asyncio.sleep(0.005)
            await saying

    run(main())
