"""A bounded number of holders, and readers beside one writer."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from redpony.locks import LockError, LockNotOwned, ReadWriteLock, Semaphore
from redpony.locks.gate import Contender, Gate
from redpony.locks.holdings import MANY
from tests.locks.both import InBoth


@pytest.fixture
def semaphore(make_cache: Any, colour: Any) -> Any:
    """Return a function that makes a semaphore of another process than all others."""
    make_cache()

    def make(value: int = 2, **options: Any) -> Any:
        class Elsewhere(Semaphore):
            gate = Gate(shared=True)

        return InBoth(Elsewhere("places", value, **options), colour)

    return make


def test_there_are_as_many_holders_as_places(semaphore: Any, keys: Any) -> None:
    with semaphore() as one, semaphore() as two:
        assert one.fence < two.fence
        third = semaphore()
        assert third.available() == 0
        assert third.locked()
        assert not third.acquire(blocking=False)
        assert not third.acquire(blocking_timeout=0.02)
    assert third.acquire(blocking=False)
    assert third.available() == 1
    third.release()
    assert keys() == set()


def test_a_weight_takes_several_places(semaphore: Any) -> None:
    with semaphore(5, weight=3):
        assert not semaphore(5, weight=3).acquire(blocking=False)
        with semaphore(5, weight=2):
            assert semaphore(5).available() == 0
        assert semaphore(5).available() == 2


def test_what_nobody_holds_is_free_whatever_was_counted(
    semaphore: Any, server: Any, keys: Any
) -> None:
    """A clock that was ahead ended the holders' key, and is set back."""
    assert semaphore(5, weight=3).acquire()
    (holders,) = [key for key in keys() if server.ask("TYPE", key) == b"zset"]
    server.ask("DEL", holders)
    assert semaphore(5).available() == 5
    with semaphore(5, weight=5):
        assert semaphore(5).available() == 0
    assert keys() == set()


def test_a_dead_holder_gives_up_its_place(semaphore: Any) -> None:
    dead = semaphore(1, timeout=0.3)
    assert dead.acquire()
    with semaphore(1):
        pass
    with pytest.raises(LockNotOwned):
        dead.release()


def test_a_place_is_renewed(semaphore: Any) -> None:
    with semaphore(1, lease=0.3) as held:
        assert not semaphore(1).acquire(blocking_timeout=0.8)
        assert held.valid


def test_more_time_for_a_place(semaphore: Any) -> None:
    mine = semaphore(1, timeout=5)
    with mine as held:
        assert mine.extend(5)
        assert 9 < held.remaining <= 10
        assert held.owned()


def test_a_heavy_one_is_not_passed_by(make_cache: Any, server: Any) -> None:
    make_cache()
    order: list[str] = []

    def work(name: str, claim: Any) -> threading.Thread:
        claim.gate = Gate(shared=True)

        def run() -> None:
            with claim:
                order.append(name)
                time.sleep(0.05)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.2)
        return thread

    class Elsewhere(Semaphore):
        gate = None  # type: ignore[assignment]

    first = Elsewhere("places", 3)
    first.gate = Gate(shared=True)
    with first:
        heavy = work("heavy", Elsewhere("places", 3, weight=3))
        light = work("light", Elsewhere("places", 3))
        assert order == []
    heavy.join()
    light.join()
    assert order == ["heavy", "light"]


def test_readers_share_and_a_writer_is_alone(make_cache: Any, colour: Any) -> None:
    make_cache()
    lock = ReadWriteLock("book", thread_local=False)
    read, write = InBoth(lock.read, colour), InBoth(lock.write, colour)
    other = ReadWriteLock("book", thread_local=False)
    oread, owrite = InBoth(other.read, colour), InBoth(other.write, colour)
    with read, oread:
        assert not write.acquire(blocking=False)
        assert not owrite.acquire(blocking_timeout=0.02)
    with write:
        assert not oread.acquire(blocking=False)
        assert not owrite.acquire(blocking=False)
    with owrite:
        pass


@pytest.mark.parametrize(("value", "weight"), [(0, 1), (1, 2), (1, 0), (True, 1)])
def test_what_makes_no_sense_is_refused(
    make_cache: Any, value: int, weight: int
) -> None:
    make_cache()
    with pytest.raises(ValueError, match="semaphore must be|never fits"):
        Semaphore("places", value, weight=weight)


def test_it_cannot_be_had_in_time(semaphore: Any) -> None:
    with (
        semaphore(1),
        pytest.raises(LockError, match="The semaphore 'places' could not be had"),
        semaphore(1, blocking_timeout=0.01),
    ):
        pass


def test_who_does_not_wait_is_not_refused_because_another_one_asks(
    cache_on: Any, valkey: Any
) -> None:
    valkey.flush()
    cache_on(valkey)
    semaphore = Semaphore("places", 2)
    asks = Contender(b"somebody who asks the server just now")
    assert semaphore.gate.enter(asks)
    assert semaphore.acquire(blocking=False)
    semaphore.release()
    assert semaphore.acquire(blocking_timeout=0.01)
    semaphore.release()
    semaphore.gate.leave(asks)


def test_one_may_have_several_places(semaphore: Any, keys: Any) -> None:
    """Each is given back by itself, the latest first."""
    mine = semaphore(3, thread_local=False)
    with mine as first:
        with mine as second:
            assert mine.acquire(blocking=False)
            assert not mine.acquire(blocking=False)
            mine.release()
            assert second.fence == mine.target.held.fence
            assert mine.available() == 1
        assert first.fence == mine.target.held.fence
        assert mine.available() == 2
    assert mine.available() == 3
    with pytest.raises(LockError, match="has not taken it"):
        mine.release()
    assert keys() == set()


def test_the_first_of_several_places_may_be_given_back_first(semaphore: Any) -> None:
    mine = semaphore(3, thread_local=False)
    with mine as first, mine, mine as last:
        first.release()
        assert mine.target.held is last.target
        assert mine.available() == 1
        mine.acquire()
    assert mine.available() == 3


def test_places_whose_time_is_over_are_not_kept_for_ever(semaphore: Any) -> None:
    mine = semaphore(1000, timeout=0.05, thread_local=False)
    for _ in range(2 * MANY):
        assert mine.acquire()
    mine.target.held.lost.wait(5)
    assert mine.acquire()
    # They are let go of when there are many; on a slow machine some are left before.
    assert mine.target.held.depth <= MANY


def test_each_place_is_given_back_once_whoever_gives_it_back(
    cache_on: Any, valkey: Any
) -> None:
    """Without `thread_local` any thread gives back what any other has taken."""
    valkey.flush()
    cache_on(valkey)
    places = 40
    semaphore = Semaphore("places", places, thread_local=False)
    failed: list[BaseException] = []

    def each(work: Any) -> None:
        def some() -> None:
            try:
                for _ in range(places // 4):
                    assert work() is not False
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=some) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    each(lambda: semaphore.acquire(blocking=False))
    assert semaphore.available() == 0
    each(semaphore.release)
    assert semaphore.available() == places
    assert failed == []
