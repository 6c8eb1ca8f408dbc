"""Locks and the database's transactions: when they are given back, and fenced writes."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, models, transaction
from django.test.utils import isolate_apps

from redpony.errors import InvalidSetting, ReleasedInTransaction
from redpony.locks import Lock, LockLost, ReadWriteLock, Semaphore, locked
from tests.locks.databases import database

__all__ = ["database"]


@pytest.fixture(autouse=True)
def place(cache_on: Any, valkey: Any) -> Any:
    valkey.flush()
    cache_on(valkey)
    return valkey


@pytest.fixture(params=["sync", "async"])
def under(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what runs a function under a lock, in both colours, in this thread's
    transaction."""

    def sync(lock: Any, body: Callable[[Any], object] = id) -> None:
        with lock as held:
            body(held)

    @async_to_sync
    async def awaiting(lock: Any, body: Callable[[Any], object] = id) -> None:
        async with lock as held:
            body(held)

    return sync if request.param == "sync" else awaiting


def is_free(name: str = "job") -> bool:
    return not Lock(name).locked()


def test_it_is_kept_until_the_commit(under: Any, database: str) -> None:
    lock = Lock("job", release="on_commit", database=database)
    with transaction.atomic(database):
        with transaction.atomic(database):
            under(lock)
            assert not is_free()
        assert not is_free()
        assert lock.held is None
    assert is_free()


def test_it_is_kept_until_the_rollback(under: Any, database: str) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(database):
        with pytest.raises(KeyError), transaction.atomic(database):
            under(Lock("job", release="on_commit", database=database))
            raise KeyError
        assert not is_free()
        raise ZeroDivisionError
    assert is_free()


def test_an_error_of_the_body_keeps_it_too(under: Any, database: str) -> None:
    def fail(held: Any) -> None:
        raise ZeroDivisionError

    with transaction.atomic(database):
        with pytest.raises(ZeroDivisionError):
            under(Lock("job", release="on_commit", database=database), fail)
        assert not is_free()
    assert is_free()


def test_it_is_given_back_at_once_without_a_transaction(
    under: Any, database: str
) -> None:
    under(Lock("job", release="on_commit", database=database))
    assert is_free()


def test_a_transaction_of_another_database_does_not_matter(
    under: Any, postgres: str
) -> None:
    with transaction.atomic(postgres):
        under(Lock("job", release="on_commit"))
        assert is_free()


def test_it_is_renewed_meanwhile(under: Any, database: str) -> None:
    with transaction.atomic(database):
        under(Lock("job", release="on_commit", database=database, lease=1))
        assert not Lock("job").acquire(blocking_timeout=2)
    assert is_free()


def test_release_and_the_holdings_own(database: str) -> None:
    lock = Lock("job", release="on_commit", database=database)
    with transaction.atomic(database):
        assert lock.acquire()
        lock.release()
        assert not is_free()
    assert is_free()
    with transaction.atomic(database):
        assert lock.acquire()
        held = lock.held
        assert held is not None
        held.release()
        assert not is_free()
    assert is_free()


def test_the_thread_may_take_it_again_until_then(database: str) -> None:
    lock = Lock("job", release="on_commit", database=database, blocking_timeout=5)
    with transaction.atomic(database):
        with lock as first:
            pass
        for again in (lock, Lock("job", release="on_commit", database=database)):
            with again as held:
                assert held is first
            assert again.held is None
        assert not is_free()
    assert is_free()


def test_semaphores_and_read_write_locks(under: Any, database: str) -> None:
    options = {"release": "on_commit", "database": database}
    semaphore = Semaphore("jobs", 2, **options)
    readers = ReadWriteLock("data", **options)
    with transaction.atomic(database):
        under(semaphore)
        under(readers.read)
        assert semaphore.available() == 1
        assert not ReadWriteLock("data").write.acquire(blocking=False)
    assert semaphore.available() == 2
    assert ReadWriteLock("data").write.acquire(blocking=False)


def test_the_decorator(database: str) -> None:
    @locked("job:{number}", release="on_commit", database=database)
    def job(number: int) -> None: ...

    @locked("job:{number}", release="on_commit", database=database)
    async def ajob(number: int) -> None: ...

    with transaction.atomic(database):
        job(1)
        async_to_sync(ajob)(2)
        assert not is_free("job:1")
        assert not is_free("job:2")
    assert is_free("job:1")
    assert is_free("job:2")


def test_a_lock_that_is_lost_by_the_end_of_the_with_rolls_back(
    under: Any, database: str, place: Any
) -> None:
    with pytest.raises(LockLost), transaction.atomic(database):
        under(
            Lock("job", release="on_commit", database=database),
            lambda held: place.flush(),
        )
    assert is_free()


def test_a_lock_that_is_lost_later_is_logged(
    under: Any, database: str, place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic(database):
        under(Lock("job", release="on_commit", database=database))
        place.flush()
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    assert "the lock 'job' was lost" in caplog.text.lower()


def test_a_cancelled_end_gives_it_back(database: str) -> None:
    async def main() -> None:
        lock = Lock("job", release="on_commit", database=database)

        async def body() -> None:
            async with lock:
                task = asyncio.current_task()
                assert task
                asyncio.get_running_loop().call_soon(task.cancel)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(body())
        other = Lock("job")
        assert await other.aacquire(blocking_timeout=10)
        await other.arelease()

    asyncio.run(main())


@pytest.mark.parametrize("release", ["commit", True, ""])
def test_a_wrong_release_is_refused(release: Any) -> None:
    with pytest.raises(InvalidSetting, match='must be "on_commit"'):
        Semaphore("job", 3, release=release)


def test_a_wrong_database_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="alias of DATABASES, not 'defualt'"):
        Lock("job", release="on_commit", database="defualt")


# -- the warning ------------------------------------------------------------


def test_releasing_inside_a_transaction_warns_of_the_place(database: str) -> None:
    with transaction.atomic(database):
        with pytest.warns(ReleasedInTransaction, match='release="on_commit"') as told:
            with Lock("job"):
                pass
        assert is_free()
    assert [each.filename for each in told] == [__file__]
    with warnings.catch_warnings(record=True) as once:
        warnings.simplefilter("default")
        with transaction.atomic(database):
            for _ in range(3):
                with Lock("job"):
                    pass
    assert len(once) == 1


def test_a_warning_that_is_an_error_gives_the_lock_back(database: str) -> None:
    with transaction.atomic(database):
        for give_back in (Lock.release, lambda lock: lock.held.release()):
            lock = Lock("job")
            assert lock.acquire()
            with pytest.raises(ReleasedInTransaction):
                give_back(lock)
            assert is_free()


def test_nobody_is_warned_who_says_now_or_has_no_transaction(database: str) -> None:
    with transaction.atomic(database), Lock("job", release="now"):
        pass
    with Lock("job"), transaction.atomic(database):
        pass


# -- fenced writes ----------------------------------------------------------


@pytest.fixture
def orders(database: str) -> Iterator[Any]:
    """Return a table of orders with a fence."""
    with isolate_apps("redpony"):

        class Order(models.Model):  # noqa: DJ008 (nobody prints it)
            fence = models.BigIntegerField(default=0)
            state = models.CharField(max_length=20, default="new")

            class Meta:
                app_label = "redpony"

    with connections[database].schema_editor() as editor:
        editor.create_model(Order)
    yield Order.objects.using(database)
    with connections[database].schema_editor() as editor:
        editor.delete_model(Order)


def write(orders: Any, held: Any, state: str) -> int:
    """Write as the page says."""
    return int(
        orders.filter(pk=1, fence__lt=held.fence).update(fence=held.fence, state=state)
    )


def test_a_fenced_write_refuses_who_came_before(orders: Any) -> None:
    orders.create(pk=1)
    lock = Lock("order:1")
    with lock as stopped:
        pass  # and whoever had it goes on in the belief that it has it
    with lock as held:
        assert write(orders, held, "charged") == 1
        assert write(orders, stopped, "cancelled") == 0
    order = orders.get(pk=1)
    assert (order.state, order.fence) == ("charged", held.fence)
