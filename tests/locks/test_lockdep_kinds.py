"""Lockdep knows families of locks, readers and writers, and places of semaphores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from redpony.locks import Lock, ReadWriteLock, Semaphore, locked
from tests.locks.both import InBoth
from tests.locks.deadlocks import nest

pytestmark = pytest.mark.usefixtures("watched")


@pytest.fixture
def lock(colour: Any) -> Callable[..., Any]:
    return lambda name, **options: InBoth(Lock(name, **options), colour)


# -- Families ---------------------------------------------------------------


def test_a_family_has_one_order(lock: Any, warned: Any) -> None:
    nest(lock("order:1"), lock("stock:81"))
    assert warned() == []
    nest(lock("stock:7"), lock("order:2"))
    (text,) = warned()
    assert "the lock 'order:2' is taken while the lock 'stock:7' is held" in text
    assert "('order:1', then 'stock:81')" in text


def test_a_family_is_told_once(lock: Any, warned: Any) -> None:
    for number in range(5):
        nest(lock(f"order:{number}"), lock(f"stock:{number}"))
        nest(lock(f"stock:{number}"), lock(f"order:{number}"))
    assert len(warned()) == 1


def test_a_family_and_a_single_lock_have_one_order(lock: Any, warned: Any) -> None:
    nest(lock("nightly"), lock("order:1"))
    nest(lock("order:2"), lock("nightly"))
    assert len(warned()) == 1


def test_within_a_family_names_count(lock: Any, warned: Any) -> None:
    nest(lock("order:1"), lock("order:2"), lock("order:3"))
    nest(lock("order:2"), lock("order:3"))
    nest(lock("order:1"), lock("order:3"))
    assert warned() == []
    nest(lock("order:2"), lock("order:1"))
    (text,) = warned()
    assert "the lock 'order:1' is taken while the lock 'order:2'" in text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("job-17", "job-4"),
        (
            "a/8d5a7f0e-31ab-4a8b-9b36-0c3a3c1e7a55",
            "a/00000000-31AB-4a8b-9b36-0c3a3c1e7a55",
        ),
        (
            "etag:d41d8cd98f00b204e9800998ecf8427e",
            "etag:0cc175b9c0f1b6a831c399e269772661",
        ),
    ],
)
def test_names_that_differ_in_numbers_are_a_family(one: str, other: str) -> None:
    assert Lock(one).family == Lock(other).family


def test_names_that_are_made_on_one_line_and_begin_alike_are_a_family() -> None:
    ann, bob, cart = (Lock(name) for name in ("user:ann", "user:bob", "cart:ann"))
    assert ann.family == bob.family != cart.family
    assert Lock("user:bob").family != bob.family
    assert [Lock(name).family for name in ("plain", "other")] == ["plain", "other"]


def test_a_template_makes_a_family(warned: Any) -> None:
    @locked("cart:{user}")
    def buy(user: str, inside: Callable[[], object]) -> None:
        inside()

    @locked("cart:{user}")
    async def abuy(user: str, inside: Any) -> None:
        async with inside:
            pass

    buy("ann", lambda: nest(Lock("stock")))
    with Lock("stock"):
        buy("bob", lambda: None)
    assert len(warned()) == 1
    asyncio.run(abuy("eve", Lock("nightly")))
    with Lock("nightly"):
        buy("zoe", lambda: None)
    assert len(warned()) == 1


def test_a_family_of_another_kind_or_prefix_is_another(
    warned: Any, cache_on: Any, valkey: Any
) -> None:
    nest(Lock("order:1"), Lock("stock:1"))
    nest(Semaphore("stock:2", 1), Lock("order:2"))
    nest(cache_on(valkey, KEY_PREFIX="other").lock("stock:2"), Lock("order:2"))
    assert warned() == []


# -- Many holders -----------------------------------------------------------


@pytest.fixture
def book(colour: Any) -> Callable[[str], tuple[Any, Any]]:
    def make(name: str) -> tuple[Any, Any]:
        both = ReadWriteLock(name)
        return InBoth(both.read, colour), InBoth(both.write, colour)

    return make


def test_readers_alone_do_not_wait(book: Any, warned: Any) -> None:
    (read_a, _), (read_b, _) = book("a"), book("b")
    nest(read_a, read_b)
    nest(read_b, read_a)
    nest(read_a, book("a")[0])
    assert warned() == []


def test_readers_wait_where_there_are_writers(book: Any, warned: Any) -> None:
    """A reader stands behind the writer who waits for the other reader, twice."""
    (read_a, write_a), (read_b, write_b) = book("a"), book("b")
    nest(read_a, read_b)
    nest(write_a)
    nest(read_b, read_a)
    assert warned() == []
    nest(write_b)
    (text,) = warned()
    assert "the read lock 'a'" in text
    assert "the read lock 'b'" in text


def test_a_writer_that_came_first_counts_too(book: Any, warned: Any) -> None:
    (read_a, write_a), (read_b, write_b) = book("a"), book("b")
    nest(write_a)
    nest(write_b)
    nest(read_a, read_b)
    nest(read_b, read_a)
    assert len(warned()) == 1


def test_a_reader_and_a_writer_in_two_orders(book: Any, lock: Any, warned: Any) -> None:
    read, write = book("a")
    nest(lock("x"), write)
    nest(read, lock("x"))
    assert len(warned()) == 1


def test_a_reader_alone_in_two_orders_with_a_lock(
    book: Any, lock: Any, warned: Any
) -> None:
    read, write = book("a")
    nest(lock("x"), read)
    nest(read, lock("x"))
    assert warned() == []
    nest(write)
    assert len(warned()) == 1


def test_who_reads_and_begins_to_write_waits_for_itself(book: Any, warned: Any) -> None:
    read, write = book("a")
    with read:
        assert not write.acquire(blocking_timeout=0.01)
    (text,) = warned()
    assert text.startswith("Deadlock: ")


def test_who_reads_twice_waits_for_a_writer_in_between(book: Any, warned: Any) -> None:
    read, write = book("a")
    nest(write)
    nest(read, book("a")[0])
    (text,) = warned()
    assert "in line in between" in text


def test_places_do_not_exclude_each_other(colour: Any, warned: Any) -> None:
    def places(name: str, **options: Any) -> Any:
        return InBoth(Semaphore(name, 3, **options), colour)

    nest(places("a"), places("b"))
    nest(places("b"), places("a"))
    nest(places("a"), places("a"))
    assert warned() == []
    nest(places("a", weight=3), places("b", weight=3))
    (text, other) = sorted(warned())
    assert "the semaphore 'a'" in text + other


def test_a_semaphore_of_one_place_is_a_lock(colour: Any, warned: Any) -> None:
    one, other = (InBoth(Semaphore(name, 1), colour) for name in "ab")
    nest(one, other)
    nest(other, one)
    assert len(warned()) == 1
