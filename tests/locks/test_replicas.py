"""Locks that replicas have to know of."""

from __future__ import annotations

from typing import Any

import pytest

from redpony.errors import LockError
from redpony.locks import Lock
from redpony.locks.gate import Gate
from tests.locks.both import InBoth
from tests.locks.conftest import Rival


@pytest.fixture
def pair(cache_on: Any, cold_server: Any) -> Any:
    """Return a primary and its replica, with a cache on the primary."""
    primary, replica = cold_server(), cold_server()
    replica.follow(primary)
    replica.await_sync()
    cache_on(primary)
    return primary, replica


def test_a_replica_knows_of_a_lock_that_is_held(pair: Any, colour: Any) -> None:
    _, replica = pair
    for plain in (False, True):
        lock = InBoth(Lock("job", replicas=1, plain=plain), colour)
        for _ in range(20):
            with lock as held:
                assert replica.ask("GET", "redpony{:job}:lock") == held.token


def test_a_lock_that_was_handed_over_is_known_as_well(pair: Any, colour: Any) -> None:
    _, replica = pair
    stranger = Rival("job")
    stranger.gate = Gate()
    assert stranger.acquire()
    lock = InBoth(Lock("job", replicas=1), colour)
    assert not lock.acquire(blocking_timeout=0.05)
    stranger.release()
    with lock as held:
        assert replica.ask("GET", "redpony{:job}:lock") == held.token


def test_without_a_replica_it_is_given_back(pair: Any, colour: Any) -> None:
    primary, replica = pair
    replica.kill()
    lock = InBoth(Lock("job", replicas=1), colour)
    with pytest.raises(LockError, match="0 of 1 replicas"):
        lock.acquire()
    assert primary.ask("EXISTS", "redpony{:job}:lock") == 0
    other = InBoth(Lock("job"), colour)
    assert other.acquire(blocking=False)
    other.release()


def test_a_forgotten_script_is_no_trouble(pair: Any, colour: Any) -> None:
    primary, _ = pair
    lock = InBoth(Lock("job", replicas=1, plain=True), colour)
    for _ in range(3):
        primary.ask("SCRIPT", "FLUSH")
        with lock:
            pass


@pytest.mark.parametrize("replicas", [-1, 1.5, True, "1"])
def test_a_bad_number_is_refused(cache_on: Any, valkey: Any, replicas: Any) -> None:
    cache_on(valkey)
    with pytest.raises(ValueError, match="replicas of a lock must be 0 or more"):
        Lock("job", replicas=replicas)


@pytest.mark.forms("cluster")
def test_in_a_cluster_the_key_says_which_primary(lock: Any, server: Any) -> None:
    del server
    for name in "abcdefgh":
        with lock(name, replicas=1) as held:
            assert held.valid
