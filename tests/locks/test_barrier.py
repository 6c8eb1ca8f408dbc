"""Barriers: all come, or nobody goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from redpony.locks import Barrier, BrokenBarrier, LockError
from redpony.testing.chaos import Proxy
from tests.locks.children import Children
from tests.locks.test_latch import InBoth
from tests.servers import until


@pytest.fixture
def barrier(make_cache: Any, colour: Any) -> Callable[..., Any]:
    make_cache()
    return lambda parties=3, **given: InBoth(Barrier("job", parties, **given), colour)


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def until_there_are(number: int) -> None:
    until(lambda: Barrier("job", 3).n_waiting() == number, f"{number} wait")


def test_all_go_on_when_all_have_come(barrier: Any, crowd: Any) -> None:
    for _ in range(5):
        others = [crowd.submit(Barrier("job", 3).wait, 60) for _ in range(2)]
        indices = {barrier().wait(60), *(each.result(60) for each in others)}
        assert indices == {0, 1, 2}
    assert barrier().n_waiting() == 0
    assert not barrier().broken()


def test_the_index_is_the_order_of_coming(barrier: Any, crowd: Any) -> None:
    first = crowd.submit(Barrier("job", 3).wait, 60)
    until_there_are(1)
    second = crowd.submit(Barrier("job", 3).wait, 60)
    until_there_are(2)
    assert barrier().wait(60) == 2
    assert (first.result(60), second.result(60)) == (0, 1)


def test_tasks_are_parties(make_cache: Any, server: Any) -> None:
    make_cache()

    async def main() -> list[int]:
        return await asyncio.gather(*(Barrier("job", 5).awaited(60) for _ in range(5)))

    assert sorted(asyncio.run(main())) == [0, 1, 2, 3, 4]


def test_who_waits_too_long_breaks_it(barrier: Any, crowd: Any) -> None:
    other = crowd.submit(Barrier("job", 3).wait, 60)
    until_there_are(1)
    with pytest.raises(BrokenBarrier, match="The barrier 'job' is broken") as caught:
        barrier(timeout=0.05).wait()
    assert isinstance(caught.value, threading.BrokenBarrierError)
    assert isinstance(caught.value, LockError)
    with pytest.raises(BrokenBarrier):
        other.result(30)
    assert barrier().broken()
    with pytest.raises(BrokenBarrier):
        barrier().wait(60)
    barrier().reset()
    assert not barrier().broken()
    assert barrier(1).wait(0) == 0


def test_it_is_aborted_and_begun_anew(barrier: Any, crowd: Any, keys: Any) -> None:
    for call, is_broken in (("abort", True), ("reset", False)):
        others = [crowd.submit(Barrier("job", 3).wait, 60) for _ in range(2)]
        until_there_are(2)
        told = sum(b":barrier-wake" in each for each in keys())
        getattr(barrier(), call)()
        # By push: before they ask again.
        assert sum(b":barrier-wake" in each for each in keys()) == told + 2
        for each in others:
            with pytest.raises(BrokenBarrier):
                each.result(30)
        assert barrier().broken() is is_broken
        barrier().reset()


def test_a_task_that_is_cancelled_breaks_it(make_cache: Any, server: Any) -> None:
    make_cache()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Barrier("job", 3).awaited(60), 0.2)

    asyncio.run(main())
    # Nobody else is there to find that it gives no sign of life.
    until(lambda: Barrier("job", 3).broken(), "it is broken", within=30)


def test_all_have_the_same_number_of_parties(barrier: Any, crowd: Any) -> None:
    other = crowd.submit(Barrier("job", 3).wait, 60)
    until_there_are(1)
    with pytest.raises(LockError, match="'job' is for 3 parties, not for 2"):
        barrier(2).wait(60)
    assert not other.done()
    barrier().reset()


def test_nothing_is_left_for_long(barrier: Any, server: Any, keys: Any) -> None:
    with pytest.raises(BrokenBarrier):
        barrier(ttl=1000).wait(0)
    assert 990_000 < server.ask("PTTL", "redpony{:job}:barrier") <= 1_000_000
    for key in keys():
        assert server.ask("PTTL", key) > 0, key


@pytest.mark.parametrize("parties", [0, -1, True, 1.5, "2"])
def test_parties_are_a_whole_number(barrier: Any, parties: Any) -> None:
    with pytest.raises(ValueError, match="parties of a barrier must be 1 or more"):
        barrier(parties)
    with pytest.raises(TypeError, match="timeout of a barrier must be a number"):
        barrier(timeout="1")


# When answers get lost


def test_a_party_that_comes_twice_is_one(barrier: Any) -> None:
    one = barrier(2).target
    args = (b"2", b"3000", one.ttl, b"0")
    ask = one.alias.ask
    first = one._call("barrier_wait", b"first", *args)
    second = one._call("barrier_wait", b"second", *args)
    assert [ask(first), ask(first), one.n_waiting()] == [[0], [0], 1]
    assert [ask(second), ask(second)] == [[1, b"1"]] * 2
    assert [ask(first), ask(first)] == [[1, b"0"]] * 2
    assert one.n_waiting() == 0


def test_who_was_away_too_long_is_not_in_the_next_round(barrier: Any) -> None:
    one = barrier(2).target
    args = (b"2", b"3000", one.ttl, b"1")
    assert one.alias.ask(one._call("barrier_wait", b"old", *args)) == [1, b"broken"]
    assert one.n_waiting() == 0


def test_a_word_that_was_lost_is_asked_for_again(
    cache_on: Any, cold_server: Any, crowd: Any
) -> None:
    server = cold_server("valkey")
    with Proxy((server.host, server.port)) as proxy:
        cache_on(None, LOCATION=f"redis://{proxy.host}:{proxy.port}")
        cache_on(server)
        other = Barrier("job", 2, using="second")
        waiter = crowd.submit(Barrier("job", 2).wait, 60)
        until(lambda: other.n_waiting() == 1, "somebody waits")
        with proxy.timeout():
            assert other.wait(60) == 1
        assert waiter.result(60) == 0


# Whole processes


class Parties(Children):
    def __init__(self, server: Any, path: Path) -> None:
        super().__init__("tests.locks.party", server)
        self.path = path

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


@pytest.fixture
def parties(server: Any, make_cache: Any, tmp_path: Path) -> Iterator[Parties]:
    make_cache()
    found = Parties(server, tmp_path / "diary")
    yield found
    found.end()


def test_processes_go_in_step(parties: Parties) -> None:
    for name in "abc":
        parties.spawn(name, parties.path, "barrier", 3, 60, 10)
    for name in "abc":
        assert parties.wait(name) == 0
    lines = [line.split() for line in parties.lines()]
    counts = dict.fromkeys("abc", 0)
    for name, what in lines:
        if what == "came":
            counts[name] += 1
            assert max(counts.values()) - min(counts.values()) <= 1
        else:
            # Whoever goes on has seen all come.
            assert min(counts.values()) >= counts[name]
    indices = [int(what) for _, what in lines if what != "came"]
    assert sorted(indices) == sorted([0, 1, 2] * 10)


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_party_that_died_breaks_it(parties: Parties, how: str) -> None:
    parties.spawn("a", parties.path, "barrier", 3, 60)
    until_there_are(1)
    parties.spawn("b", parties.path, "barrier", 3, 60)
    until_there_are(2)
    getattr(parties, how)("a")
    assert parties.wait("b") == 0
    assert "b broken" in parties.lines()
    assert Barrier("job", 3).broken()
    if how == "freeze":
        parties.thaw("a")
        assert parties.wait("a") == 0
        assert "a broken" in parties.lines()
