"""One holder at a time; what he may do, and what he learns when he is none."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis import exceptions as redis_errors

from redpony.locks import LockError, LockLost, LockNotOwned


def test_a_lock_has_one_holder(lock: Any, rival: Any) -> None:
    with lock():
        assert rival().acquire(blocking=False) is False
        assert lock().acquire(blocking=False) is False
        assert rival().locked()
    assert not rival().locked()
    other = rival()
    assert other.acquire(blocking=False) is True
    other.release()


def test_names_are_locks_of_their_own(lock: Any) -> None:
    with lock("a"), lock("b"), lock("{a}b"), lock("a}b"), lock("{}"), lock("a{b"):
        with lock("c", blocking=False):
            pass


@pytest.mark.parametrize(
    "name", ["a", "{t}a", "a{t}", "a}b", "{}", "{}}", "a{b", "}{", "é"]
)
def test_a_lock_of_any_name_is_handed_over(lock: Any, rival: Any, name: str) -> None:
    with lock(name):
        assert not rival(name).acquire(blocking_timeout=0.01)
    with rival(name):
        pass


def test_nothing_is_left_behind(lock: Any, rival: Any, keys: Any) -> None:
    with lock():
        rival().acquire(blocking_timeout=0.01)
    assert keys() == set()


def test_fences_grow(lock: Any, rival: Any, server: Any) -> None:
    fences = []
    for number in range(10):
        if number == 5:
            server.flush()
        for each in (lock, rival):
            with each() as held:
                fences.append(held.fence)
    assert fences == sorted(set(fences))
    assert all(type(fence) is int and 0 < fence < 2**53 for fence in fences)


def test_a_given_timeout_is_a_hard_lease(lock: Any, rival: Any) -> None:
    mine, other = lock(timeout=0.2, thread_local=False), rival()
    assert mine.acquire()
    held = mine.target.held
    assert 0 < held.remaining <= 0.2
    assert held.valid
    assert other.acquire(blocking_timeout=2)
    assert held.lost.wait(5)
    assert not held.valid
    with pytest.raises(LockLost):
        held.check()
    with pytest.raises(LockNotOwned) as caught:
        mine.release()
    assert isinstance(caught.value, redis_errors.LockNotOwnedError)
    other.release()


def test_a_body_that_outlasts_its_lease_ends_with_an_error(
    lock: Any, colour: Any
) -> None:
    """In asyncio it is cancelled at once; a thread is told at the end, or if it asks."""
    with pytest.raises(LockLost, match="was lost while it was held"):
        with lock(timeout=0.2) as held:
            if colour.is_async:
                colour.run(asyncio.sleep(60))
            assert held.lost.wait(60)


def test_without_a_timeout_the_lease_is_renewed(lock: Any, rival: Any) -> None:
    with lock(lease=0.3) as held:
        assert not rival().acquire(blocking_timeout=1)
        assert held.valid
        assert not held.lost


def test_a_lock_that_somebody_broke_is_lost(lock: Any, server: Any) -> None:
    with pytest.raises(LockNotOwned), lock():
        server.flush()


def test_the_watchdog_notices_that_a_lock_is_broken(lock: Any, server: Any) -> None:
    told: list[Any] = []
    broken = lock(lease=0.3, on_lost=told.append, thread_local=False)
    assert broken.acquire()
    held = broken.target.held
    server.flush()
    assert held.lost.wait(5)
    assert not held.valid
    with pytest.raises(LockNotOwned):
        broken.release()
    assert told == [held]


def test_a_body_that_fails_gives_the_lock_back(lock: Any, rival: Any) -> None:
    with pytest.raises(ZeroDivisionError), lock():
        raise ZeroDivisionError
    assert rival().acquire(blocking=False)


def test_an_error_of_the_body_is_not_hidden_by_the_loss(lock: Any, server: Any) -> None:
    with pytest.raises(ZeroDivisionError), lock():
        server.flush()
        raise ZeroDivisionError


def test_what_was_not_taken_cannot_be_given_back(lock: Any) -> None:
    with pytest.raises(LockError, match="Cannot release the lock 'job'") as caught:
        lock().release()
    assert isinstance(caught.value, redis_errors.LockError)
    for what in ("extend", "reacquire"):
        with pytest.raises(LockError, match=f"Cannot {what}"):
            getattr(lock(timeout=1), what)(*([1] if what == "extend" else []))


def test_giving_back_twice_is_an_error(lock: Any) -> None:
    mine = lock()
    assert mine.acquire()
    mine.release()
    with pytest.raises(LockError):
        mine.release()


def test_who_waits_too_long_is_told_so(lock: Any, rival: Any) -> None:
    with lock():
        with pytest.raises(LockError, match="could not be had within 0.01 s"):
            rival(blocking_timeout=0.01).__enter__()
        with pytest.raises(LockError, match="is taken"):
            rival(blocking=False).__enter__()


def test_more_time(lock: Any) -> None:
    mine = lock(timeout=10)
    with mine as held:
        assert mine.extend(10)
        assert 19 < held.remaining <= 20
        assert mine.extend(5, replace_ttl=True)
        assert 4 < held.remaining <= 5
        assert held.reacquire()
        assert 9 < held.remaining <= 10
        assert mine.owned()


def test_a_renewed_lock_needs_no_more_time(lock: Any) -> None:
    mine = lock()
    with mine, pytest.raises(LockError, match="renewed until it is given back"):
        mine.extend(1)


def test_a_lost_lock_gets_no_more_time(lock: Any, server: Any) -> None:
    mine = lock(timeout=10)
    assert mine.acquire()
    server.flush()
    assert not mine.owned()
    with pytest.raises(LockNotOwned):
        mine.extend(10)


def test_reentrance_is_asked_for(lock: Any, rival: Any) -> None:
    with lock(reentrant=True) as outer:
        with lock(reentrant=True) as inner:
            assert inner.fence == outer.fence
            assert not rival().acquire(blocking=False)
        assert not rival().acquire(blocking=False)
        assert not lock().acquire(blocking_timeout=0.01)
    assert rival().acquire(blocking=False)


@pytest.mark.parametrize("value", [0, -1, 0.0001, float("inf"), float("nan")])
def test_a_timeout_that_is_none_is_refused(lock: Any, value: float) -> None:
    with pytest.raises(ValueError, match="timeout of a lock must be at least 0.001 s"):
        lock(timeout=value)


def test_a_dead_holder_is_replaced_when_its_lease_is_over(
    lock: Any, rival: Any, server: Any
) -> None:
    dead = rival(timeout=0.4)
    assert dead.acquire()
    began = time.monotonic()
    with lock():
        # At most a lease, and what a waiter that looks by itself takes.
        assert time.monotonic() - began < 0.4 + 1.5


@pytest.mark.forms("single", "replicated", "sentinel", "cluster")  # it loads scripts
def test_a_lock_of_redis_py_excludes_ours_and_is_noticed(
    make_cache: Any, lock: Any, server: Any
) -> None:
    from redpony import get_redis

    theirs = get_redis().lock("bare", timeout=60)
    assert theirs.acquire(blocking=False)
    assert not lock("bare", key="bare").acquire(blocking_timeout=0.01)
    theirs.release()
    with lock("bare", key="bare"):
        assert not theirs.acquire(blocking=False)
    assert theirs.acquire(blocking=False)
    theirs.release()
