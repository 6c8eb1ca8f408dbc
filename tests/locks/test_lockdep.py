"""Orders in which locks can deadlock are told before they do, once, with all stacks."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from redpony import events
from redpony.eventlog import event_log
from redpony.locks import (
    Lock,
    LockError,
    PossibleDeadlock,
    Semaphore,
    lockdep,
    stacks,
)
from tests.locks.both import InBoth
from tests.locks.deadlocks import anest, in_thread, nest

pytestmark = pytest.mark.usefixtures("watched")


@pytest.fixture
def lock(colour: Any) -> Callable[..., Any]:
    return lambda name, **options: InBoth(Lock(name, **options), colour)


# -- Orders -----------------------------------------------------------------


def test_one_order_is_fine(lock: Any, warned: Any) -> None:
    for _ in range(3):
        nest(lock("a"), lock("b"), lock("c"))
        nest(lock("a"), lock("c"))
        nest(lock("b"), lock("c"))
        nest(lock("b"))
    assert warned() == []


def test_the_other_order_is_told_with_both_stacks(lock: Any, warned: Any) -> None:
    def checkout() -> None:
        with lock("a"):
            with lock("b"):  # here
                pass

    def refund() -> None:
        with lock("b"):
            with lock("a"):  # there
                pass

    checkout()
    assert warned() == []
    refund()
    (text,) = warned()
    head, *rest = text.splitlines()
    assert head.startswith(
        "Possible deadlock: the lock 'a' is taken while the lock 'b'"
    )
    assert "the other way round" in head
    assert [line.strip() for line in rest if "# here" in line or "# there" in line] == [
        'with lock("a"):  # there',
        'with lock("b"):  # here',
    ]
    assert 'with lock("b"):\n' in text
    assert "checkout" in text
    assert "refund" in text
    assert "claim.py" not in text
    assert "asyncio" not in text


def test_a_warning_is_at_the_line_that_takes_the_lock(warned: Any) -> None:
    nest(Lock("a"), Lock("b"))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with Lock("b"), Lock("a"):
            pass
    assert [each.filename for each in found] == [__file__]


def test_threads_are_told_of_each_others_orders(warned: Any) -> None:
    in_thread(lambda: nest(Lock("a"), Lock("b")), "first")
    in_thread(lambda: nest(Lock("b"), Lock("a")), "second")
    (text,) = warned()
    assert "the thread first takes the lock 'b'" in text
    assert "the thread second takes the lock 'a'" in text


def test_tasks_are_told_of_each_others_orders(warned: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_task(anest(Lock("a"), Lock("b")), name="first")
        await loop.create_task(anest(Lock("b"), Lock("a")), name="second")

    asyncio.run(main())
    (text,) = warned()
    assert "the task first takes the lock 'b'" in text
    assert "the task second takes the lock 'a'" in text
    assert "in anest" in text


def test_threads_and_tasks_share_one_order(warned: Any) -> None:
    asyncio.run(anest(Lock("a"), Lock("b")))
    nest(Lock("b"), Lock("a"))
    assert len(warned()) == 1


def test_tasks_side_by_side_hold_their_own(warned: Any) -> None:
    async def main() -> None:
        async with Lock("a"):
            # Both are done while `a` is held, by somebody else.
            await asyncio.gather(anest(Lock("b")), asyncio.to_thread(nest, Lock("c")))
        async with Lock("b"):
            await asyncio.create_task(anest(Lock("a")))
        async with Lock("c"):
            await asyncio.create_task(anest(Lock("a")))

    asyncio.run(main())
    assert warned() == []


@pytest.mark.parametrize("names", ["abc", "abcd", "abcdefgh"])
def test_a_longer_circle_is_told_whole(lock: Any, warned: Any, names: str) -> None:
    for one, other in itertools.pairwise(names):
        nest(lock(one), lock(other))
    assert warned() == []
    nest(lock(names[-1]), lock(names[0]))
    (text,) = warned()
    assert "in a circle" in text
    assert all(f"takes the lock {name!r}" in text for name in names)


def test_it_is_told_once(lock: Any, warned: Any) -> None:
    for _ in range(3):
        nest(lock("a"), lock("b"))
        nest(lock("b"), lock("a"))
        in_thread(lambda: nest(Lock("b"), Lock("a")))
    assert len(warned()) == 1
    nest(lock("c"), lock("b"))
    nest(lock("b"), lock("c"))
    assert len(warned()) == 1


def test_orders_under_one_lock_cannot_meet(lock: Any, warned: Any) -> None:
    nest(lock("all"), lock("a"), lock("b"))
    nest(lock("all"), lock("b"), lock("a"))
    assert warned() == []

    def alone() -> None:
        nest(lock("b"), lock("a"))

    alone()
    (text,) = warned()
    assert "in alone\n" in text


def test_many_threads_at_once_are_told_once(warned: Any) -> None:
    start = threading.Barrier(4)

    def work(turn: int) -> None:
        start.wait()
        for number in range(15):
            pair = [Lock(f"x:{turn}:{number}"), Lock(f"y:{turn}:{number}")]
            nest(*(pair if turn % 2 else reversed(pair)))

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(warned()) == 1


# -- What is held -----------------------------------------------------------


def test_what_was_given_back_is_not_held(lock: Any, warned: Any) -> None:
    a, b = lock("a"), lock("b")
    a.acquire()
    a.release()
    nest(b)
    nest(lock("b"), lock("a"))
    assert warned() == []
    a.acquire()
    nest(b)
    a.release()
    assert len(warned()) == 1


def test_what_is_over_is_not_held(lock: Any, warned: Any) -> None:
    short = lock("a", timeout=0.05)
    short.acquire()
    (held,) = short.target._held.values()
    assert held.lost.wait(30)
    nest(lock("b"))
    nest(lock("b"), lock("a"))
    assert warned() == []


def test_who_does_not_wait_locks_nobody_out(lock: Any, warned: Any) -> None:
    nest(lock("a"), lock("b"))
    with lock("b"):
        nest(lock("a", blocking=False))
        once = lock("a")
        assert once.acquire(blocking=False)
        assert not lock("a").acquire(blocking=False)
        once.release()
    assert warned() == []


def test_what_was_had_without_waiting_is_held(lock: Any, warned: Any) -> None:
    nest(lock("a", blocking=False), lock("b"))
    nest(lock("b", blocking=False), lock("a"))
    assert len(warned()) == 1


def test_who_waits_for_a_time_waits(lock: Any, warned: Any) -> None:
    nest(lock("a"), lock("b", blocking_timeout=5))
    nest(lock("b"), lock("a", blocking_timeout=5))
    assert len(warned()) == 1


def test_what_others_may_give_back_is_not_held(lock: Any, warned: Any) -> None:
    nest(lock("a", thread_local=False), lock("b"))
    nest(lock("b"), lock("a", thread_local=False))
    assert warned() == []


# -- One's own --------------------------------------------------------------


def test_who_waits_for_itself_is_told(lock: Any, warned: Any) -> None:
    with lock("a"):  # here
        assert not lock("a").acquire(blocking_timeout=0.01)  # there
        assert not lock("a").acquire(blocking_timeout=0.01)
    (text,) = warned()
    assert text.startswith("Deadlock: the ")
    assert "it waits for itself" in text
    assert "# here" in text
    assert "# there" in text


def test_who_may_enter_again_is_not(lock: Any, warned: Any) -> None:
    mine = lock("a", reentrant=True)
    with mine, mine, lock("b"), mine:
        pass
    nest(lock("a"), lock("b"))
    assert warned() == []


def test_a_warning_made_an_error_leaves_nothing_behind(
    lock: Any, valkey: Any, warned: Any
) -> None:
    nest(lock("a"), lock("b"))
    with lock("b"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(PossibleDeadlock):
                lock("a").acquire()
    left = list(valkey.keys())
    assert [key for key in left if not key.endswith(b":fence")] == []
    nest(lock("a"))


# -- On and off -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_on"),
    [
        ({"DEBUG": True}, True),
        ({"DEBUG": False}, False),
        ({"DEBUG": True, "REDPONY": {"LOCKS": {"LOCKDEP": False}}}, False),
        ({"DEBUG": True, "REDPONY": {"LOCKS": {"ALIAS": "default"}}}, True),
        ({"DEBUG": False, "REDPONY": {"LOCKS": {"LOCKDEP": True}}}, True),
    ],
)
def test_it_is_on_under_debug_or_where_settings_say_so(
    warned: Any, changes: dict[str, Any], is_on: bool
) -> None:
    with override_settings(**{"REDPONY": {}, **changes}):
        nest(Lock("a"), Lock("b"))
        nest(Lock("b"), Lock("a"))
        assert lockdep.watching is is_on
    assert len(warned()) == is_on


def test_off_no_frame_is_looked_at(
    colour: Any, lock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    here = stacks.here
    monkeypatch.setattr(stacks, "here", lambda *most: looks.append(1) or here(*most))
    nest(lock("user:a"), lock("user:b"))
    assert looks
    looks.clear()
    with override_settings(REDPONY={"LOCKS": {"LOCKDEP": False}}):
        nest(lock("user:a"), lock("user:b"))
        assert lockdep.watching is False
        said = [lockdep.wants, lockdep.took, lockdep.family_of]
        for each in said:
            monkeypatch.delattr(lockdep, each.__name__)
        nest(lock("user:b"), lock("user:a"))
        nest(InBoth(Semaphore("s", 2), colour))
    assert looks == []


# -- Memory -----------------------------------------------------------------


def test_who_has_ended_is_forgotten(warned: Any) -> None:
    for _ in range(3):
        in_thread(lambda: nest(Lock("a"), Lock("b")))
        asyncio.run(anest(Lock("a"), Lock("b")))
    gc.collect()
    assert len(lockdep._owners) == 0


def test_a_forked_child_begins_anew(warned: Any) -> None:
    nest(Lock("a"), Lock("b"))
    read, write = os.pipe()
    with Lock("c"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # beside the watchdog
        child = os.fork()
        if not child:
            try:
                nest(Lock("d"), Lock("b"), Lock("a"))
                nest(Lock("b"), Lock("d"))
                os.write(write, "\n".join(warned()).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    os.close(write)
    text = os.read(read, 100_000).decode()
    os.close(read)
    assert text.count("Possible deadlock") == 1
    assert "the lock 'd' is taken while the lock 'b' is held" in text
    nest(Lock("b"), Lock("a"))
    assert len(warned()) == 1


# -- What else is told ------------------------------------------------------


def test_it_is_an_event_and_a_line_of_the_log(
    lock: Any, warned: Any, caplog: pytest.LogCaptureFixture
) -> None:
    event_log.flush()
    caplog.set_level(logging.WARNING, logger="redpony")
    caplog.clear()
    found: list[Any] = []
    leave = events.subscribe(found.append, events.CircularWait)
    try:
        nest(lock("a"), lock("b"))
        nest(lock("b"), lock("a"))
    finally:
        leave()
    (event,) = found
    (text,) = warned()
    assert event.names == ("b", "a")
    assert text.startswith(event.detail)
    assert [each.getMessage() for each in caplog.records] == [
        f"default: {event.detail}"
    ]


def test_who_could_not_have_it_is_told_before_it_waits(lock: Any, warned: Any) -> None:
    nest(lock("a"), lock("b"))
    with lock("b"):
        with Lock("a", thread_local=False, timeout=5):
            with pytest.raises(LockError):
                nest(lock("a", blocking_timeout=0.01))
            assert len(warned()) == 1


def test_a_signal_that_takes_locks_while_orders_are_noted_does_not_hang(
    warned: Any,
) -> None:
    with lockdep._lock:
        nest(Lock("a"), Lock("b"))
    assert warned() == []
