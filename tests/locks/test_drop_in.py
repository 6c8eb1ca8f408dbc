"""Calls that were written for redis-py's and django-redis' locks work unchanged.

redis-py's own tests of its lock are run in `tests/borrowed`; here is what they leave out,
and what those of them are about that fail for another reason.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import LockError, LockNotOwnedError

from tests.locks.both import InBoth
from tests.servers import until


@pytest.fixture
def made(make_cache: Any, colour: Any) -> Callable[..., Any]:
    """Return `cache.lock`, in the test's colour."""
    cache = make_cache()
    return lambda *args, **kwargs: InBoth(cache.lock(*args, **kwargs), colour)


def test_arguments_stand_where_django_redis_has_them(made: Any, server: Any) -> None:
    """`key, version, timeout, sleep, blocking, blocking_timeout, client, thread_local`."""
    lock = made("job", 2, 9.5, 0.05, False, 3, None, False)
    assert lock.key == ":2:job"
    assert lock.timeout == 9.5
    assert lock.blocking is False
    assert lock.blocking_timeout == 3
    assert lock.thread_local is False
    assert lock.acquire()
    assert 8000 < server.ask("PTTL", ":2:job") <= 9500
    lock.release()


def test_a_client_is_refused(make_cache: Any) -> None:
    cache = make_cache()
    with pytest.raises(TypeError, match=r"cache\.lock takes no client"):
        cache.lock("job", client=cache.client.get_client())


def test_arguments_of_acquire_stand_where_redis_py_has_them(made: Any) -> None:
    """`sleep, blocking, blocking_timeout, token`."""
    lock, other = made("job", timeout=10), made("job", timeout=10)
    assert lock.acquire(0.01, True, 5, "somebody")
    assert lock.owner() == "somebody"
    assert other.acquire(0.01, False) is False
    assert other.acquire(0.01, True, 0.02) is False
    assert other.acquire(0.01, True, 0) is False
    lock.release()


@pytest.mark.parametrize("token", ["a token", b"a token"], ids=["text", "bytes"])
@pytest.mark.parametrize("thread_local", [True, False])
def test_a_token_may_be_given(
    made: Any, server: Any, colour: Any, token: Any, thread_local: bool
) -> None:
    lock = made("job", thread_local=thread_local)

    def local() -> Any:
        return colour.run(_token(lock.target)) if colour.is_async else _now(lock.target)

    assert local() is None
    assert lock.acquire(blocking=False, token=token)
    assert server.ask("GET", ":1:job") == local() == b"a token"
    assert lock.owned() is True
    lock.release()
    assert server.ask("GET", ":1:job") is None
    assert local() is None
    assert lock.owned() is False


async def _token(lock: Any) -> Any:
    return _now(lock)


def _now(lock: Any) -> Any:
    return lock.local.token


def test_what_with_gives_has_the_token_too(made: Any, server: Any) -> None:
    with made("job", timeout=10, raise_on_release_error=False) as lock:
        assert lock.local.token == server.ask("GET", ":1:job")
        lock.release()
        assert lock.local.token is None
        with pytest.raises(LockError):
            lock.release()


def test_a_token_belongs_to_a_thread(make_cache: Any) -> None:
    """Unless `thread_local` is False; so does the right to release."""
    cache = make_cache()
    mine, ours = cache.lock("mine"), cache.lock("ours", thread_local=False)
    assert mine.acquire()
    assert ours.acquire()
    found: list[Any] = []

    def work() -> None:
        found.append(mine.local.token)
        try:
            mine.release()
        except LockError as error:
            found.append(type(error).__name__)
        found.append(ours.local.token == token)
        ours.release()

    token = ours.local.token
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None, "LockError", True]
    assert ours.local.token is None
    assert not ours.locked()
    mine.release()


@pytest.mark.parametrize("patience", [math.inf, 1e100], ids=["inf", "huge"])
def test_one_may_wait_for_ever_by_a_number(
    make_cache: Any, colour: Any, patience: float
) -> None:
    cache = make_cache()
    got: list[Any] = []

    async def wait() -> None:
        async with cache.lock("job", blocking_timeout=patience):
            got.append(True)

    def work() -> None:
        if colour.is_async:
            asyncio.run(wait())
            return
        with cache.lock("job", blocking_timeout=patience):
            got.append(True)

    lock = cache.lock("job")
    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    with lock:
        for thread in threads:
            thread.start()
        until(lambda: len(lock.gate) == len(threads), "the others wait")
    for thread in threads:
        thread.join(60)
    assert got == [True] * 3


def test_what_was_given_back_in_the_body_is_an_error(made: Any) -> None:
    with pytest.raises(LockError, match="Cannot release"):
        with made("job", timeout=10) as lock:
            lock.release()


def test_who_asked_not_to_be_told_is_not_told(made: Any, server: Any) -> None:
    with made("job", timeout=10, raise_on_release_error=False) as lock:
        lock.release()
    with made("job", timeout=10, raise_on_release_error=False):
        server.flush()


@pytest.mark.parametrize("telling", [True, False])
def test_the_error_of_a_body_that_gave_the_lock_back_is_not_hidden(
    made: Any, telling: bool
) -> None:
    with pytest.raises(ZeroDivisionError):
        with made("job", timeout=10, raise_on_release_error=telling) as lock:
            lock.release()
            raise ZeroDivisionError


def test_only_what_has_a_timeout_can_be_reacquired(made: Any) -> None:
    with made("job", thread_local=False) as held:
        for each in (held, made("job", timeout=1)):
            with pytest.raises(LockError, match="reacquire"):
                each.reacquire()
    with made("job", timeout=9.5) as held:
        assert held.extend(5, replace_ttl=True) is True
        assert held.remaining <= 5
        assert held.reacquire() is True
        assert 9 < held.remaining <= 9.5


def test_errors_name_the_lock(made: Any, server: Any) -> None:
    lock = made("job", timeout=10)
    with pytest.raises(LockError) as caught:
        lock.release()
    assert caught.value.lock_name == "job"
    server.ask("SET", ":1:job", "somebody else's")
    with pytest.raises(LockError) as caught:
        made("job", blocking_timeout=0.01).__enter__()
    assert caught.value.lock_name == "job"
    server.flush()
    assert lock.acquire()
    server.ask("SET", ":1:job", "somebody else's")
    with pytest.raises(LockNotOwnedError) as caught:
        lock.release()
    assert caught.value.lock_name == "job"
    assert server.ask("GET", ":1:job") == b"somebody else's"
