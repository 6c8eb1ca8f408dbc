"""Plain locks: no fence, the server's own commands, and the line of all others."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from redpony.locks import Lock, LockError, LockNotOwned
from tests.locks.test_line import rival as stranger
from tests.locks.test_line import waiting
from tests.servers import Server
from tests.wire.links import until


@pytest.fixture
def place(cache_on: Any, valkey: Server) -> Server:
    valkey.flush()
    cache_on(valkey)
    return valkey


def in_thread(lock: Lock, order: list[Any], who: Any) -> threading.Thread:
    def work() -> None:
        with lock:
            order.append(who)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_it_excludes_others_and_they_exclude_it(lock: Any, rival: Any) -> None:
    for first, second in ((True, True), (True, False), (False, True)):
        with lock(plain=first):
            other = rival(plain=second)
            assert not other.acquire(blocking=False)
            assert not other.acquire(blocking_timeout=0.02)
            assert other.locked()
        assert not other.locked()
        assert other.acquire(blocking=False)
        other.release()


def test_it_has_no_fence_and_says_so(lock: Any) -> None:
    with lock(plain=True) as held:
        assert held.valid
        with pytest.raises(LockError, match="plain=True"):
            _ = held.fence
        assert "fence=None" in repr(held.target)


def test_nothing_is_left_behind(lock: Any, rival: Any, server: Any) -> None:
    with lock(plain=True):
        pass
    assert set(server.keys()) == set()
    with lock(plain=True):
        rival(plain=True).acquire(blocking_timeout=0.01)
    left = {each for each in list(server.keys()) if not each.endswith(b":fence")}
    assert left == set()


def test_who_holds_it_knows_though_others_wait(place: Server) -> None:
    order: list[Any] = []
    holder = Lock("job", plain=True, timeout=20)
    assert holder.acquire()
    thread = in_thread(stranger(), order, "other")
    until(lambda: waiting(place) == 1)
    token = holder.local.token
    assert place.ask("GET", "redpony{:job}:lock") == token + b"+"
    assert holder.owned()
    assert holder.owner() == token.decode()
    assert holder.extend(10)
    assert holder.reacquire()
    assert order == []
    holder.release()
    thread.join(10)
    assert order == ["other"]


@pytest.mark.parametrize("plain", [[True, True, True], [True, False, True]])
def test_it_is_handed_over_in_order(place: Server, plain: list[bool]) -> None:
    order: list[Any] = []
    holder = stranger(plain=True)
    assert holder.acquire()
    threads = []
    for number, each in enumerate(plain):
        threads.append(in_thread(stranger(plain=each), order, number))
        until(lambda number=number: waiting(place) == number + 1)
    holder.release()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2]
    assert waiting(place) == 0


def test_a_lease_is_renewed_though_others_wait(place: Server) -> None:
    order: list[Any] = []
    with Lock("job", plain=True, lease=0.5) as held:
        thread = in_thread(stranger(), order, "other")
        until(lambda: waiting(place) == 1)
        time.sleep(1)
        assert held.valid
        assert held.owned()
        assert order == []
    thread.join(10)
    assert order == ["other"]


def test_what_somebody_else_has_is_not_given_back(place: Server) -> None:
    lock = Lock("job", plain=True, timeout=20)
    assert lock.acquire()
    place.ask("SET", "redpony{:job}:lock", "another")
    with pytest.raises(LockNotOwned):
        lock.release()
    assert place.ask("GET", "redpony{:job}:lock") == b"another"


def test_it_takes_the_servers_own_commands(place: Server) -> None:
    lock = Lock("job", plain=True)
    with lock:
        pass
    with place.counting() as counted:
        for _ in range(10):
            with lock:
                pass
    assert counted.commands == {"set": 10, "delifeq": 10}


def test_an_answer_that_is_lost_is_asked_for_again(place: Server) -> None:
    lock = Lock("job", plain=True)
    for _ in range(3):
        with lock:
            place.hang_up()
        assert not lock.locked()
        place.hang_up()


def test_threads_of_one_process_stand_in_line(place: Server) -> None:
    lock = Lock("job", plain=True)
    inside, most, entered = [0], [0], [0]

    def work() -> None:
        for _ in range(30):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                entered[0] += 1
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most[0], entered[0]) == (1, 180)
