"""Whoever waits for the end of a transaction is called once, however it ends."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpResponse
from django.test import TestCase, TransactionTestCase, override_settings
from django.urls import path

from redpony import commit
from tests.locks.databases import database

__all__ = ["database"]


@pytest.fixture
def called() -> list[bool]:
    """Return what each call adds to: whether a transaction was open."""
    return []


@pytest.fixture
def wait(database: str, called: list[Any]) -> Callable[[], None]:
    def then() -> None:
        called.append(connections[database].in_atomic_block)

    return lambda: commit.when_over(then, database)


def test_at_once_where_no_transaction_is_open(wait: Any, called: Any) -> None:
    wait()
    assert called == [False]


def test_a_commit(wait: Any, called: Any, database: str) -> None:
    with transaction.atomic(database):
        with transaction.atomic(database):
            wait()
        assert called == []
    assert called == [False]


def test_a_rollback(wait: Any, called: Any, database: str) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(database):
        wait()
        raise ZeroDivisionError
    assert called == [False]


def test_a_transaction_that_is_marked(wait: Any, called: Any, database: str) -> None:
    with transaction.atomic(database):
        wait()
        transaction.set_rollback(True, database)
        assert called == []
    assert called == [False]


@pytest.mark.parametrize("fails", [False, True])
def test_a_savepoints_rollback_is_not_the_transactions(
    wait: Any, called: Any, database: str, fails: bool
) -> None:
    class Failed(Exception):
        pass

    def run() -> None:
        with transaction.atomic(database):
            for _ in range(2):
                with pytest.raises(ZeroDivisionError), transaction.atomic(database):
                    with transaction.atomic(database):
                        wait()
                    raise ZeroDivisionError
                assert called == []
            with pytest.raises(ZeroDivisionError), transaction.atomic(database):
                wait()
                raise ZeroDivisionError
            if fails:
                raise Failed

    if fails:
        with pytest.raises(Failed):
            run()
    else:
        run()
    assert called == [False] * 3


def test_a_connection_that_is_closed_in_the_middle(
    wait: Any, called: Any, postgres: str, database: str
) -> None:
    if database != postgres:
        return  # Django does not close a database in memory
    with pytest.raises(ZeroDivisionError):
        with transaction.atomic(database):
            with transaction.atomic(database):
                wait()
                connections[database].close()
                assert len(called) == 1
                raise ZeroDivisionError
    assert len(called) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_thread_that_ends_in_the_middle(database: str, called: Any) -> None:
    if database == "default":
        return  # Django keeps what it shares between threads
    over = threading.Event()

    def run() -> None:
        transaction.atomic(database).__enter__()
        commit.when_over(over.set, database)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    gc.collect()
    assert over.wait(10)


def test_another_threads_transaction_is_not_ours(
    wait: Any, called: Any, database: str
) -> None:
    with transaction.atomic(database):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert len(called) == 1


def test_a_hook_that_fails_before_ours(wait: Any, called: Any, database: str) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    try:
        with transaction.atomic(database):
            transaction.on_commit(fail, database)
            wait()
    except ZeroDivisionError:
        pass
    gc.collect()
    for _ in range(1000):
        if called:
            break
        threading.Event().wait(0.01)
    assert called == [False]


def test_an_error_of_ours_is_logged(
    database: str, called: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    for end in (lambda: None, lambda: transaction.set_rollback(True, database)):
        caplog.clear()
        with transaction.atomic(database):
            commit.when_over(fail, database)
            transaction.on_commit(lambda: called.append(True), database)
            end()
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info
        assert record.exc_info[0] is ZeroDivisionError
    assert called == [True]  # the other hook of what was committed


def test_an_interrupt_on_commit_is_not_swallowed(database: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), transaction.atomic(database):
        commit.when_over(interrupt, database)


def test_an_interrupt_on_rollback_comes_again(database: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with transaction.atomic(database):
            commit.when_over(interrupt, database)
            transaction.set_rollback(True, database)
        threading.Event().wait(60)


def test_what_a_request_waits_for_with_atomic_requests(
    wait: Any, called: Any, database: str
) -> None:
    from django.test import Client

    def view(request: Any) -> HttpResponse:
        wait()
        assert called == []
        return HttpResponse("done")

    class Urls:
        urlpatterns = [path("", view)]

    connection = connections[database]
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        with override_settings(ROOT_URLCONF=Urls):
            assert Client().get("/").content == b"done"
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert called == [False]


@pytest.fixture
def case(database: str) -> Iterator[Any]:
    """Return a running test of Django's `TestCase`."""

    class Case(TestCase):
        databases = {database}

        def runTest(self) -> None: ...

    assert issubclass(Case, TransactionTestCase)
    Case.setUpClass()
    try:
        running = Case()
        running._pre_setup()
        yield running
        running._post_teardown()
    finally:
        Case.tearDownClass()
        Case.doClassCleanups()


def test_a_testcase_is_no_transaction(wait: Any, called: Any, case: Any) -> None:
    wait()
    assert len(called) == 1
    assert commit.open_transactions() == []


def test_a_rollback_in_a_testcase(
    wait: Any, called: Any, case: Any, database: str
) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(database):
        wait()
        assert commit.open_transactions() == [database]
        raise ZeroDivisionError
    assert len(called) == 1


def test_a_testcase_calls_what_it_captures(
    wait: Any, called: Any, case: Any, database: str
) -> None:
    with case.captureOnCommitCallbacks(using=database, execute=True):
        with transaction.atomic(database):
            wait()
        assert called == []
    assert len(called) == 1


def test_manual_transactions_are_open_ones(database: str) -> None:
    transaction.set_autocommit(False, database)
    try:
        assert commit.open_transactions() == [database]
        assert not commit.is_open(database)
    finally:
        transaction.rollback(database)
        transaction.set_autocommit(True, database)
    assert commit.open_transactions() == []
