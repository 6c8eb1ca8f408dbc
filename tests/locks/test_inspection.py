"""Who has a lock, who waits for it, and how it is taken from whoever has it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redpony import get_redis
from redpony.locks import Lock, LockLost, ReadWriteLock, Semaphore
from redpony.locks.directory import START, Directory, line_of
from redpony.locks.gate import Gate
from redpony.plan import Batch
from tests.colours import Both
from tests.servers import until

HOST = re.sub(r"[^\w-]", "-", socket.gethostname())[:40]
FOREIGN = "6f1ce8acc74011f0a2fb0242ac120002"


class Elsewhere(Lock):
    """A lock of another process."""

    gate = None  # type: ignore[assignment]


class Places(Semaphore):
    """A semaphore of another process."""

    gate = None  # type: ignore[assignment]


@pytest.fixture
def waiting() -> Iterator[Callable[[Any], Any]]:
    """Return a function that has a claim waited for by another process.

    It returns when the server knows the waiter, which lets go again when it has it and
    the test is over.
    """
    over = threading.Event()
    threads: list[threading.Thread] = []

    def wait(claim: Any) -> None:
        claim.gate = Gate(shared=claim.terms.shared)
        before = len(claim.inspect().waiters)

        def work() -> None:
            with contextlib.suppress(LockLost), claim:
                over.wait(30)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        until(lambda: len(claim.inspect().waiters) > before, "it stands in line", 30)

    yield wait
    over.set()
    for each in threads:
        each.join(30)


@pytest.fixture
def directory(make_cache: Any, colour: Any) -> Any:
    make_cache()
    return Both(Directory("default"), colour)


def names(found: Any) -> list[tuple[str, str]]:
    return sorted((each.kind, each.name) for each in found)


# -- one lock ------------------------------------------------------------------------


def test_a_holder_is_seen_with_its_process_its_lease_and_its_fence(
    lock: Any, rival: Any
) -> None:
    with lock(timeout=20) as held:
        seen = rival().inspect()
    holder = seen.holder

    assert (seen.kind, seen.name, seen.key) == ("lock", "job", "redpony{:job}:lock")
    assert (holder.host, holder.pid, holder.weight) == (HOST, os.getpid(), 1)
    assert holder.token == held.token.decode()
    assert 0 < holder.remaining <= 20
    assert seen.fence == held.fence
    assert seen.waiters == ()


def test_nobody_has_it_and_a_fence_is_left(lock: Any) -> None:
    before = lock().inspect()
    with lock() as held:
        pass
    after = lock().inspect()

    assert (before.holder, before.fence, before.is_known) == (None, None, False)
    assert (after.holder, after.fence, after.is_known) == (None, held.fence, True)
    assert not after.is_wanted


def test_looking_changes_nothing(lock: Any, keys: Any) -> None:
    with lock():
        before = keys()
        lock().inspect()
        assert keys() == before


def test_waiters_are_in_the_order_of_their_turn(lock: Any, waiting: Any) -> None:
    with lock():
        for _ in range(3):
            waiting(Elsewhere("job"))
        seen = lock().inspect()
        waited = [each.waited for each in seen.waiters]
        assert len(waited) == 3
        assert waited == sorted(waited, reverse=True)
        assert all(each.alive for each in seen.waiters)
        assert {each.pid for each in seen.waiters} == {os.getpid()}


def test_a_waiter_without_a_sign_of_life_is_not_alive(lock: Any) -> None:
    claim = Lock("job")
    with lock():
        # In one flight: nothing of a line is left when its last one is dead.
        dead = claim.terms.acquire(b"rp.dead", 1000, 0.01, 5.0)
        alive = claim.terms.acquire(b"rp.alive", 1000, 20, 0)
        claim.alias.link.blocking.ask_all(Batch([dead, alive])).check()
        until(
            lambda: [each.alive for each in lock().inspect().waiters] == [False, True],
            "one of the two is dead",
        )
        dead, _ = lock().inspect().waiters
        assert dead.waited >= 5
        assert (dead.token, dead.host, dead.pid) == ("rp.dead", None, None)


def test_a_token_of_another_package_is_shown_as_it_is(lock: Any) -> None:
    claim = lock()
    get_redis("default").set(claim.key, FOREIGN, px=5000)
    first = claim.inspect().holder
    get_redis("default").set(claim.key, b"\xff\x00")
    second = claim.inspect().holder

    assert (first.token, first.host, first.pid) == (FOREIGN, None, None)
    assert 0 < first.remaining <= 5
    assert (second.token, second.remaining) == ("\\xff\x00", None)


def test_holders_of_a_semaphore_have_weights(make_cache: Any, colour: Any) -> None:
    make_cache()
    light = Semaphore("places", 5, thread_local=False, timeout=5)
    heavy = Semaphore("places", 5, weight=3, thread_local=False, timeout=50)
    with light, heavy as held:
        seen = Both(light, colour).inspect()
    after = Both(light, colour).inspect()

    assert (seen.kind, seen.key) == ("semaphore", "redpony{:places}:semaphore")
    assert [each.weight for each in seen.holders] == [1, 3]
    assert seen.holder.remaining <= 5 < seen.holders[1].remaining <= 50
    assert seen.fence == held.fence
    assert after.holders == ()


def test_a_holder_of_a_semaphore_whose_time_is_over_is_none(
    make_cache: Any, colour: Any
) -> None:
    make_cache()
    dead = Semaphore("places", 5, timeout=0.05)
    with Semaphore(
        "places", 5, timeout=60
    ):  # nobody renews it, and finds the other out
        assert dead.acquire()
        until(
            lambda: len(Both(dead, colour).inspect().holders) == 1,
            "its time is over",
            30,
        )


def test_both_sides_of_a_read_write_lock_see_the_same(
    make_cache: Any, colour: Any
) -> None:
    make_cache()
    lock = ReadWriteLock("book")
    with lock.read:
        read = Both(lock.read, colour).inspect()
        write = Both(lock.write, colour).inspect()

    assert (read.kind, read.key) == ("read-write lock", "redpony{:book}:rw")
    assert [each.token for each in read.holders] == [
        each.token for each in write.holders
    ]
    assert len(read.holders) == 1


# -- taking it away ------------------------------------------------------------------


def test_it_is_handed_to_the_next_in_line_by_the_same_command(
    lock: Any, rival: Any, waiting: Any
) -> None:
    mine = lock()
    assert mine.acquire()
    waiting(Elsewhere("job"))
    before = rival().inspect()
    (lost,) = rival().evict()
    after = rival().inspect()
    with pytest.raises(LockLost):
        mine.release()

    assert lost.token == before.holder.token
    assert after.holder.token == before.waiters[0].token
    assert after.fence > before.fence
    assert after.waiters == ()


def test_its_holder_is_told_when_it_renews(lock: Any, rival: Any) -> None:
    mine = lock(lease=0.3, thread_local=False)
    assert mine.acquire()
    held = mine.held
    assert len(rival().evict()) == 1
    assert held.lost.wait(30)
    assert held.lost.reason == "somebody else has ended it"
    with pytest.raises(LockLost):
        mine.release()


def test_from_nobody_nothing_is_taken(lock: Any, waiting: Any) -> None:
    assert lock().evict() == ()
    with lock():
        assert lock().evict("somebody's token") == ()
        assert lock().inspect().holder is not None


def test_of_several_holders_one_is_chosen(make_cache: Any, colour: Any) -> None:
    make_cache()
    one, two = (Semaphore("places", 2, thread_local=False) for _ in range(2))
    assert one.acquire()
    assert two.acquire()
    both = Both(one, colour)
    second = two.held.token.decode()
    (lost,) = both.evict(second)

    assert lost.token == second
    assert [each.token for each in both.inspect().holders] == [one.held.token.decode()]
    assert len(both.evict()) == 1
    assert both.inspect().holders == ()
    for each in (one, two):
        with pytest.raises(LockLost):
            each.release()


# -- all of an alias -----------------------------------------------------------------


@pytest.fixture
def many(make_cache: Any) -> Iterator[Any]:
    """Return a cache beside which all kinds of locks are held."""
    cache = make_cache()
    with (
        Lock("job"),
        Lock("{user:7}:cart"),
        Lock("odd}name"),
        cache.lock("invoice"),
        cache.lock("{user:7}:invoice"),
        Semaphore("places", 2),
        ReadWriteLock("book").write,
    ):
        yield cache


FOUND = [
    ("lock", ":1:invoice"),
    ("lock", ":1:{user:7}:invoice"),
    ("lock", "job"),
    ("lock", "odd}name"),
    ("lock", "{user:7}:cart"),
    ("read-write lock", "book"),
    ("semaphore", "places"),
]


def test_all_that_is_held_is_found(many: Any, colour: Any) -> None:
    for number in range(20):
        many.set(f"entry {number}".replace(" ", "-"), number)
    directory = Both(Directory("default"), colour)

    assert names(directory.find()) == FOUND
    assert names(directory.find(everything=True)) == FOUND


def test_what_is_not_held_is_found_by_its_fence_if_it_is_asked_for(
    directory: Any, lock: Any
) -> None:
    with lock("done"), Semaphore("exports", 2):
        pass

    assert names(directory.find()) == []
    assert names(directory.find(everything=True)) == [
        ("lock", "done"),
        ("semaphore", "exports"),
    ]


def test_what_is_waited_for_alone_is_found(directory: Any, lock: Any) -> None:
    with lock("job", raise_on_release_error=False):
        claim = Lock("job")
        claim.alias.ask(claim.terms.acquire(b"rp.waiter", 1000, 20, 0))
        get_redis("default").delete(claim.key)
        (found,) = directory.find()
        assert (found.name, found.holder, len(found.waiters)) == ("job", None, 1)


def test_a_token_of_another_package_under_a_cache_key_is_found(
    make_cache: Any, colour: Any
) -> None:
    cache = make_cache()
    with cache.lock("invoice"):
        pass
    get_redis("default").set(":1:invoice", FOREIGN, px=5000)
    (found,) = Both(Directory("default"), colour).find()

    assert (found.key, found.holder.token) == (":1:invoice", FOREIGN)


@pytest.mark.forms("single", "cluster")
def test_a_lock_on_a_bare_key_is_found_while_it_is_held(
    make_cache: Any, colour: Any
) -> None:
    make_cache()
    directory = Both(Directory("default"), colour)
    with Lock("x", key="by-hand"):
        assert names(directory.find()) == [("lock", "by-hand")]
        assert names(directory.named("by-hand")) == [("lock", "by-hand")]
    get_redis("default").set("by-hand", FOREIGN, px=5000)
    assert names(directory.find()) == [("lock", "by-hand")]


@pytest.mark.forms("single", "cluster")
def test_what_somebody_keeps_under_a_locks_name_is_no_lock(
    make_cache: Any, colour: Any
) -> None:
    make_cache(KEY_PREFIX="shop")
    directory = Both(Directory("default"), colour)
    get_redis("default").set("shop:counter", "42", px=5000)
    get_redis("default").rpush("shop:list", "42")
    for name in ("counter", "list"):
        with Lock(name):
            assert names(directory.find()) == [("lock", name)]
        assert names(directory.find()) == []


def test_another_projects_are_left_out(make_cache: Any, colour: Any) -> None:
    make_cache(KEY_PREFIX="shop")
    make_cache(KEY_PREFIX="blog")
    with (
        Lock("sale", using="default"),
        Lock("post", using="second"),
        Semaphore("posts", 2, using="second"),
    ):
        assert names(Both(Directory("default"), colour).find()) == [("lock", "sale")]
        assert names(Both(Directory("second"), colour).find()) == [
            ("lock", "post"),
            ("semaphore", "posts"),
        ]


def test_one_of_many_keys_is_found_once_and_page_by_page(
    make_cache: Any, colour: Any
) -> None:
    cache = make_cache(SCAN_PAGE=10)
    cache.set_many({f"entry-{number}": number for number in range(200)})
    directory = Both(Directory("default"), colour)
    with contextlib.ExitStack() as stack:
        for number in range(30):
            stack.enter_context(Lock(f"job-{number}"))
        found = list(directory.find())
        assert sorted(each.name for each in found) == sorted(
            f"job-{number}" for number in range(30)
        )
        pages = 0
        cursor = START
        while pages == 0 or cursor != START:
            cursor, some = directory.page(cursor)
            pages += 1
            assert len(some) < 30
    assert pages > 5


def test_one_is_found_by_its_name_or_its_key(many: Any, colour: Any) -> None:
    directory = Both(Directory("default"), colour)

    for kind, name in FOUND:
        (by_name,) = directory.named(name)
        (by_key,) = directory.named(by_name.key)
        assert (by_key.kind, by_key.name) == (kind, name)
    assert names(directory.named("invoice")) == [("lock", ":1:invoice")]
    assert directory.named("nobody") == []


def test_all_kinds_of_one_name_are_found(directory: Any) -> None:
    with Lock("same"), Semaphore("same", 2), ReadWriteLock("same").read:
        assert names(directory.named("same")) == [
            ("lock", "same"),
            ("read-write lock", "same"),
            ("semaphore", "same"),
        ]


def test_what_shares_a_keys_name_is_not_the_one_of_that_name(directory: Any) -> None:
    with Lock("1:job"):
        assert names(directory.named("job")) == []


def test_a_place_that_is_taken_away_is_given_to_the_next_at_once(
    directory: Any, waiting: Any
) -> None:
    one, two = (Semaphore("places", 2, thread_local=False) for _ in range(2))
    assert one.acquire()
    assert two.acquire()
    waiting(Places("places", 2))
    (before,) = directory.named("places")
    assert directory.evict(before, before.holders[0])
    (after,) = directory.named("places")

    assert [each.token for each in after.holders if each not in before.holders] != []
    assert {each.token for each in after.holders} >= {before.waiters[0].token}
    assert len(after.holders) == 2
    assert not directory.evict(before, before.holders[0])
    with contextlib.suppress(LockLost):
        one.release()
    with contextlib.suppress(LockLost):
        two.release()


@pytest.mark.parametrize(
    "key",
    [
        "redpony{}:lock",
        "redpony{a}:stream",
        "redpony{a}:lock:a",
        "redpony{a}:locks:queue",
        "other{a}:lock",
    ],
)
def test_what_is_no_locks_key_is_no_locks_key(key: str) -> None:
    assert line_of(key) is None
