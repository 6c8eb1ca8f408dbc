"""`@locked`: one call at a time, by its arguments."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management.base import BaseCommand
from django.http import HttpResponse
from django.test import RequestFactory

from redpony.errors import InvalidSetting
from redpony.locks import Lock, LockError, locked


@pytest.fixture(autouse=True)
def place(cache_on: Any, valkey: Any) -> None:
    valkey.flush()
    cache_on(valkey)


def test_the_name_comes_from_the_arguments() -> None:
    @locked("pay:{order.pk}:{way}")
    def pay(order: Any, way: str = "card") -> bool:
        """Pay."""
        return Lock("pay:7:card").locked() and not Lock("pay:8:card").locked()

    assert pay(SimpleNamespace(pk=7))
    assert not Lock("pay:7:card").locked()
    assert pay.__name__ == "pay"
    assert pay.__doc__ == "Pay."


def test_a_coroutine_function_stays_one() -> None:
    @locked("job:{number}", blocking_timeout=0.05)
    async def job(number: int) -> bool:
        return await Lock(f"job:{number}").alocked()

    async def main() -> None:
        assert await job(1)
        async with Lock("job:2"):
            with pytest.raises(LockError):
                await job(2)

    asyncio.run(main())


def test_who_finds_it_taken_may_do_something_else() -> None:
    @locked("job", otherwise=lambda number: -number)
    def job(number: int) -> int:
        return number

    assert job(3) == 3
    with Lock("job"):
        assert job(3) == -3

    @locked("job", otherwise=lambda number: -number)
    async def ajob(number: int) -> int:
        return number

    async def main() -> None:
        assert await ajob(3) == 3
        async with Lock("job"):
            assert await ajob(3) == -3
        assert not await Lock("job").alocked()

    asyncio.run(main())


def test_views_and_commands() -> None:
    @locked(
        "checkout:{request.path}", otherwise=lambda request: HttpResponse(status=409)
    )
    def view(request: Any) -> HttpResponse:
        return HttpResponse("done")

    request = RequestFactory().get("/cart")
    assert view(request).status_code == 200
    with Lock("checkout:/cart"):
        assert view(request).status_code == 409

    class Command(BaseCommand):
        @locked("nightly", blocking_timeout=0.01)
        def handle(self, *args: Any, **options: Any) -> str:
            return str(Lock("nightly").locked())

    assert Command().handle() == "True"
    with Lock("nightly"), pytest.raises(LockError):
        Command().handle()


def test_a_name_that_asks_for_what_there_is_not_is_refused_at_once() -> None:
    with pytest.raises(InvalidSetting, match="takes no 'ordr', only order"):

        @locked("pay:{ordr.pk}")
        def pay(order: Any) -> None: ...


def test_nobody_waits_and_does_something_else() -> None:
    with pytest.raises(InvalidSetting, match="otherwise"):
        locked("job", otherwise=print, blocking=True)
