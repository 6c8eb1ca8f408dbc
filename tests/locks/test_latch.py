"""Latches and events: many wait for one thing, and go on together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from redpony.locks import Event, Latch, LockError
from redpony.locks.crowd import Crowd, crowd_for
from redpony.testing.chaos import Proxy
from tests.colours import Both
from tests.locks.children import Children
from tests.servers import until

WAITING = "redpony{:job}:latch-waiting"


class InBoth(Both):
    """What is waited for, in the test's colour: the twin of `wait` is `awaited`."""

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        if self.colour.is_async:
            return self.colour.run(self.target.awaited(*args, **kwargs))
        return self.target.wait(*args, **kwargs)


def until_one_waits(server: Any) -> None:
    until(lambda: server.ask("ZCARD", WAITING) == 1, "one waits at the server")


@pytest.fixture
def latch(make_cache: Any, colour: Any) -> Callable[..., Any]:
    make_cache()
    return lambda count=2, **given: InBoth(Latch("job", count, **given), colour)


@pytest.fixture
def event(make_cache: Any, colour: Any) -> Callable[..., Any]:
    make_cache()
    return lambda **given: InBoth(Event("job", **given), colour)


def test_it_counts_down_to_zero(latch: Any) -> None:
    one, two = latch(3), latch(3)
    assert one.count() == 3
    assert one.count_down() == 2
    assert two.count() == 2
    assert not two.wait(0)
    assert two.count_down(5) == 0
    assert one.wait(0)
    assert one.wait()
    assert one.count_down() == 0


def test_it_is_closed_again_by_a_reset(latch: Any) -> None:
    one = latch(1)
    one.count_down()
    assert one.wait(0)
    one.reset()
    assert one.count() == 1
    assert not one.wait(0.01)


def test_all_who_wait_go_on(latch: Any, server: Any, colour: Any) -> None:
    done: list[bool] = []

    def work() -> None:
        done.append(Latch("job", 2).wait(60))

    async def awork() -> None:
        done.append(await Latch("job", 2).awaited(60))

    async def tasks() -> None:
        await asyncio.gather(*(awork() for _ in range(3)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    threads.append(threading.Thread(target=asyncio.run, args=(tasks(),)))
    for thread in threads:
        thread.start()
    until_one_waits(server)
    one = latch()
    one.count_down()
    time.sleep(0.05)
    assert done == []
    one.count_down()
    for thread in threads:
        thread.join(30)
    assert done == [True] * 6


def test_a_thousand_tasks_keep_one_connection(make_cache: Any, server: Any) -> None:
    make_cache()

    async def main() -> list[bool]:
        tasks = [asyncio.create_task(Latch("job", 1).awaited(60)) for _ in range(1000)]
        await asyncio.to_thread(until_one_waits, server)
        assert await asyncio.to_thread(server.ask, "ZCARD", WAITING) == 1
        await Latch("job", 1).acount_down()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [True] * 1000


def test_a_word_is_for_those_who_came_before_it() -> None:
    crowd = Crowd()
    front, early = crowd.join(1), crowd.join(1)
    assert crowd.is_front(front)
    assert not crowd.is_front(early)
    late = crowd.join(5)
    crowd.release(5)
    assert early.is_released
    assert not late.is_released
    # It asked before the latch opened, and came here after.
    assert crowd.join(4).is_released
    assert not crowd.join(5).is_released
    crowd.leave(front)
    assert late.signal.is_set
    assert crowd.is_front(late)


def test_who_waits_behind_another_goes_on_though_it_is_cleared_at_once(
    event: Any, server: Any
) -> None:
    with ThreadPoolExecutor(5) as pool:
        waiters = [pool.submit(event().target.wait, 60)]
        queue = "redpony{:job}:event-waiting"
        until(lambda: server.ask("ZCARD", queue) == 1, "somebody waits")
        waiters += [pool.submit(event().target.wait, 60) for _ in range(4)]
        crowd = crowd_for(event().target.alias.link, "redpony{:job}:event")
        until(lambda: len(crowd._members) == 5, "all wait")
        event().set()
        event().clear()
        assert not event().wait(0)
        assert [each.result(30) for each in waiters] == [True] * 5


def test_a_front_that_gives_up_is_followed(
    latch: Any, server: Any, colour: Any
) -> None:
    impatient, patient = latch(1), latch(1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(impatient.target.wait, 0.3)
        until_one_waits(server)
        second = pool.submit(patient.target.wait, 60)
        assert first.result(30) is False
        latch(1).count_down()
        assert second.result(30) is True


def test_a_task_that_is_cancelled_is_in_nobodys_way(
    make_cache: Any, server: Any
) -> None:
    make_cache()

    async def main() -> None:
        first = asyncio.create_task(Latch("job", 1).awaited())
        await asyncio.to_thread(until_one_waits, server)
        second = asyncio.create_task(Latch("job", 1).awaited())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await Latch("job", 1).acount_down()
        assert await second

    asyncio.run(main())


def test_all_count_from_the_same_number(latch: Any) -> None:
    latch(3).count_down()
    for call in (latch(2).count_down, latch(2).count, lambda: latch(2).wait(0)):
        with pytest.raises(
            LockError, match="The latch 'job' counts from 3, not from 2"
        ):
            call()


def test_it_is_kept_for_its_time_and_no_longer(
    latch: Any, server: Any, keys: Any
) -> None:
    latch(ttl=timedelta(seconds=1000)).count_down()
    assert 990_000 < server.ask("PTTL", "redpony{:job}:latch") <= 1_000_000
    assert not latch(ttl=2000).wait(0.01)
    assert 1_990_000 < server.ask("PTTL", "redpony{:job}:latch") <= 2_000_000
    for key in keys():
        assert server.ask("PTTL", key) > 0, key


@pytest.mark.parametrize("name", ["a", "{t}a", "a{t}", "a}b", "{}", "a{b", "é"])
def test_any_name_will_do(make_cache: Any, server: Any, name: str) -> None:
    make_cache()
    assert Latch(name, 1).count_down() == 0
    assert Latch(name, 1).wait(0)
    assert not Event(name).wait(0)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2", None])
def test_a_count_is_a_whole_number(latch: Any, count: Any) -> None:
    with pytest.raises(ValueError, match="count of a latch must be 1 or more"):
        latch(count)
    with pytest.raises(ValueError, match="n of a latch must be 1 or more"):
        latch().count_down(count)


def test_a_time_is_a_number(latch: Any) -> None:
    with pytest.raises(TypeError, match="timeout of a latch must be a number"):
        latch().wait("1")
    with pytest.raises(TypeError, match="ttl of a latch must be a number"):
        latch(ttl=None)
    with pytest.raises(ValueError, match="ttl of a latch must be at least"):
        latch(ttl=0)


def test_an_event_is_set_and_cleared(event: Any) -> None:
    one, two = event(), event()
    assert not one.is_set()
    assert not one.wait(0)
    one.set()
    one.set()
    assert two.is_set()
    assert two.wait()
    two.clear()
    assert not one.is_set()
    assert not one.wait(0.01)


def test_who_waits_goes_on_though_it_is_cleared_at_once(
    event: Any, server: Any
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(event().target.wait, 60)
        queue = "redpony{:job}:event-waiting"
        until(lambda: server.ask("ZCARD", queue) == 1, "somebody waits")
        event().set()
        event().clear()
        assert waiter.result(30) is True


# When answers get lost


def test_a_call_that_is_sent_twice_counts_once(latch: Any) -> None:
    one = latch(10)
    args = (b"10", one.target.ttl, b"3")
    command = one.target._call("latch_down", b"a token", *args)
    ask = one.target.alias.ask
    assert [ask(command) for _ in range(3)] == [[1, b"7"]] * 3
    assert one.count() == 7


def test_what_was_open_between_two_questions_is_not_missed(event: Any) -> None:
    one = event()
    ask, asking = one.target.alias.ask, one.target._asking
    is_open, since = ask(asking(b"a token"))
    assert is_open == 0
    one.set()
    one.clear()
    is_open, opened = ask(asking(b"a token", int(since), is_last=False))
    assert is_open == 1
    assert int(opened) > int(since)
    assert ask(asking(b"another", int(opened))) == [0, opened]


def test_a_word_that_was_lost_is_asked_for_again(
    cache_on: Any, cold_server: Any
) -> None:
    server = cold_server("valkey")
    with Proxy((server.host, server.port)) as proxy, ThreadPoolExecutor(1) as pool:
        cache_on(None, LOCATION=f"redis://{proxy.host}:{proxy.port}")
        cache_on(server)
        waiter = pool.submit(Event("job").wait, 60)
        queue = "redpony{:job}:event-waiting"
        until(lambda: server.ask("ZCARD", queue) == 1, "somebody waits")
        with proxy.timeout():
            Event("job", using="second").set()
            Event("job", using="second").clear()
        assert waiter.result(60) is True


# Whole processes


def test_processes_wait_for_each_other(
    server: Any, make_cache: Any, tmp_path: Any
) -> None:
    make_cache()
    children = Children("tests.locks.party", server)
    try:
        for name in "abc":
            children.spawn(name, tmp_path / "diary", "latch", 3, 60)
        for name in "abc":
            assert children.wait(name) == 0
    finally:
        children.end()
    lines = (tmp_path / "diary").read_text().splitlines()
    assert sorted(lines[:3]) == ["a came", "b came", "c came"]
    assert sorted(lines[3:]) == ["a True", "b True", "c True"]
