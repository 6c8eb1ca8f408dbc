"""Done by one, for all: over calls, threads, tasks and processes."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import caches

from redpony.errors import (
    DeadlineExceeded,
    InvalidSetting,
    NotSerializable,
    Tampered,
    Unavailable,
)
from redpony.locks import LockError, once
from redpony.testing.chaos import Proxy
from tests.colours import Both
from tests.servers import until

DONE = "redpony{:work}:once"


class InColour(Both):
    """A function that is remembered, called in the test's colour."""

    def __call__(self, *args: Any) -> Any:
        return self._settle(self.target(*args))


@pytest.fixture
def remember(make_cache: Any, colour: Any) -> Callable[..., Any]:
    """Return a function that has a function run once: in the colour of the test."""
    make_cache()
    return in_colour(colour)


def in_colour(colour: Any) -> Callable[..., Any]:
    def make(
        function: Callable[..., Any],
        name: str = "work",
        **given: Any,
    ) -> Any:
        if not colour.is_async:
            return InColour(once(name, **{"ttl": 60, **given})(function), colour)

        async def awaiting(*args: Any) -> Any:
            result = function(*args)
            return await result if inspect.isawaitable(result) else result

        awaiting.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return InColour(once(name, **{"ttl": 60, **given})(awaiting), colour)

    return make


def test_it_runs_once_and_its_result_is_remembered(remember: Any) -> None:
    calls: list[int] = []

    def work(user: Any, times: int = 1) -> Any:
        calls.append(user.pk)
        return {"user": user.pk, "times": times}

    done = remember(work, "welcome:{user.pk}:{times}")
    one, two = SimpleNamespace(pk=1), SimpleNamespace(pk=2)
    assert done(one) == done(one) == done(one, 1) == {"user": 1, "times": 1}
    assert calls == [1]
    assert done(two) == {"user": 2, "times": 1}
    assert done(one, 2) == {"user": 1, "times": 2}
    assert calls == [1, 2, 1]


@pytest.mark.parametrize("result", [None, 0, 7, "", [1, "done"], {"a": 1.5}])
def test_any_result_comes_back(remember: Any, result: Any) -> None:
    calls: list[int] = []
    done = remember(lambda: calls.append(1) or result)
    assert done() == result
    assert done() == result
    assert type(done()) is type(result)
    assert calls == [1]


def test_two_who_use_the_name_are_one(remember: Any) -> None:
    assert remember(lambda: "first")() == "first"
    assert remember(lambda: "second")() == "first"


def test_it_can_be_forgotten(remember: Any) -> None:
    calls: list[int] = []
    done = remember(calls.append, "work:{object}")
    assert done.forget(1) is False
    done(1)
    done(1)
    assert done.forget(1) is True
    assert done.forget(2) is False
    done(1)
    assert calls == [1, 1]


def test_it_is_forgotten_after_its_time(remember: Any, keys: Any) -> None:
    calls: list[int] = []
    done = remember(lambda: calls.append(1), ttl=timedelta(seconds=0.2))
    done()
    until(lambda: keys() == set(), "nothing is left")
    done()
    assert len(calls) == 2


def test_it_is_remembered_for_its_time(remember: Any, server: Any, keys: Any) -> None:
    remember(lambda: 1, ttl=1000)()
    assert keys() == {DONE.encode()}
    assert 990_000 < server.ask("PTTL", DONE) <= 1_000_000


def test_what_failed_is_done_again(remember: Any, keys: Any) -> None:
    results = iter([ZeroDivisionError(), "done"])

    def work() -> Any:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    done = remember(work)
    with pytest.raises(ZeroDivisionError):
        done()
    assert keys() == set()
    assert done() == "done"


def test_what_failed_is_not_begun_again_if_it_must_not_be(remember: Any) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise ZeroDivisionError

    done = remember(work, at_most_once=True)
    with pytest.raises(ZeroDivisionError):
        done()
    assert done() is None
    assert calls == [1]
    done.forget()
    with pytest.raises(ZeroDivisionError):
        done()


def test_at_most_once_has_a_result_too(remember: Any) -> None:
    assert remember(lambda: "done", at_most_once=True)() == "done"
    assert remember(lambda: "again", at_most_once=True)() == "done"


def test_what_cannot_be_stored_is_done_all_the_same(remember: Any) -> None:
    calls: list[int] = []

    def work() -> Any:
        calls.append(1)
        return threading.Lock()

    done = remember(work)
    with pytest.raises(NotSerializable) as caught:
        done()
    assert "'work' has run" in str(caught.value.__notes__)
    assert done() is None
    assert calls == [1]


def test_who_comes_meanwhile_waits(remember: Any, colour: Any) -> None:
    calls: list[int] = []
    if colour.is_async:

        async def awork() -> str:
            calls.append(1)
            await asyncio.sleep(0.2)
            return "done"

        done = remember(awork)

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(done.target() for _ in range(5)))

        results = colour.run(all_of_them())
    else:
        stop = threading.Event()

        def work() -> str:
            calls.append(1)
            stop.wait(0.2)
            return "done"

        done = remember(work)
        with ThreadPoolExecutor(5) as pool:
            results = list(pool.map(lambda _: done(), range(5)))
    assert results == ["done"] * 5
    assert calls == [1]


def test_who_does_not_wait_gets_nothing(remember: Any) -> None:
    calls: list[int] = []

    def work(depth: int = 0) -> Any:
        calls.append(depth)
        return inner(1) if depth == 0 else depth

    inner = remember(work, wait=False)
    if inner.colour.is_async:
        inner = inner.target
    assert remember(work)() is None
    assert calls == [0]


def test_who_waits_too_long_is_told_so(remember: Any) -> None:
    def work() -> Any:
        return inner()

    inner = remember(work, wait=0.05)
    if inner.colour.is_async:
        inner = inner.target
    with pytest.raises(LockError, match="'work' could not be had within 0.05 s"):
        remember(work)()


def test_round_trips(remember: Any, server: Any) -> None:
    done = remember(lambda: "done")
    with server.counting() as first:
        done()
    with server.counting() as second:
        done()
    calls = {name: n for name, n in first.commands.items() if name != "hello"}
    assert calls.get("get", 0) >= 2
    assert second.commands.get("get") == 1
    assert "evalsha" not in second.commands


@pytest.mark.parametrize(
    "forged", [b"1", b"true", b"(lp0\n.", "moved", "cached"], ids=repr
)
def test_what_we_did_not_write_is_refused(
    remember: Any, server: Any, forged: Any
) -> None:
    done = remember(lambda: "done")
    done()
    if forged == "moved":
        remember(lambda: "other", "another")()
        forged = server.ask("GET", "redpony{:another}:once")
    if forged == "cached":
        caches["default"].set("work", ["done", "forged"])
        forged = server.ask("GET", ":1:work")
    server.ask("SET", DONE, forged)
    with pytest.raises((Tampered, ValueError)):
        done()
    done.forget()
    assert done() == "done"


def test_a_method_is_one_of_its_object(make_cache: Any, server: Any) -> None:
    make_cache()
    calls: list[int] = []

    class Order:
        def __init__(self, pk: int) -> None:
            self.pk = pk

        @once("charge:{self.pk}", ttl=60)
        def charge(self) -> int:
            """Charge."""
            calls.append(self.pk)
            return self.pk

    for pk in (1, 2, 1):
        assert Order(pk).charge() == pk
    assert calls == [1, 2]
    assert Order.charge.__doc__ == "Charge."
    assert Order.charge.forget(Order(1))
    Order(1).charge()
    assert calls == [1, 2, 1]


@pytest.mark.parametrize("given", [None, 0, -1, True, "60", float("nan"), float("inf")])
def test_a_ttl_is_a_time(given: Any) -> None:
    with pytest.raises(InvalidSetting, match="ttl of once must be"):
        once("work", ttl=given)


@pytest.mark.parametrize("given", [None, -1, "1", float("nan")])
def test_a_wait_is_a_time_or_none(given: Any) -> None:
    with pytest.raises(InvalidSetting, match="wait of once must be"):
        once("work", ttl=1, wait=given)


def test_a_name_is_made_of_arguments() -> None:
    with pytest.raises(InvalidSetting, match="takes no 'usr', only user"):

        @once("welcome:{usr.pk}", ttl=1)
        def welcome(user: Any) -> None: ...

    with pytest.raises(InvalidSetting, match="name of once must be a text"):

        @once(7, ttl=1)  # type: ignore[arg-type]
        def other() -> None: ...


def test_a_generator_has_no_result() -> None:
    with pytest.raises(InvalidSetting, match="is a generator"):

        @once("rows", ttl=1)
        def rows() -> Iterator[int]:
            yield 1


# When things go wrong


def test_an_outage_at_its_end_is_waited_out(
    cache_on: Any, cold_server: Any, colour: Any
) -> None:
    server = cold_server("valkey")
    with Proxy((server.host, server.port)) as proxy:
        cache_on(None, LOCATION=f"redis://{proxy.host}:{proxy.port}", DEADLINE=0.2)
        calls: list[int] = []

        def work() -> str:
            calls.append(1)
            proxy.down()
            threading.Timer(1, proxy.up).start()
            return "done"

        done = in_colour(colour)(work)
        assert done() == "done"
        assert done() == "done"
    assert calls == [1]


def test_nothing_runs_without_a_server(
    cache_on: Any, cold_server: Any, colour: Any
) -> None:
    server = cold_server("valkey")
    cache_on(server)
    server.kill()
    calls: list[int] = []
    done = in_colour(colour)(lambda: calls.append(1))
    with pytest.raises((Unavailable, DeadlineExceeded)):
        done()
    assert calls == []


def test_a_task_that_is_cancelled_has_done_nothing(
    make_cache: Any, server: Any, keys: Any
) -> None:
    make_cache()

    async def main() -> None:
        begun = asyncio.Event()

        @once("work", ttl=60)
        async def work() -> str:
            if not begun.is_set():
                begun.set()
                await asyncio.sleep(60)
            return "done"

        task = asyncio.create_task(work())
        await begun.wait()
        waits = asyncio.create_task(work())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await waits == "done"

    asyncio.run(main())
