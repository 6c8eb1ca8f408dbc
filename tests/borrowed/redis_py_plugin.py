"""A pytest plugin that runs redis-py's own lock tests against `cache.lock`.

`test_redis_py_suite.py` starts pytest with it. Their tests make locks by
`client.lock(name, ..., lock_class=Lock)`; this plugin puts what makes ours in the place
of `Lock`, in a cache whose keys are the bare names. What the run is to be comes in the
environment, as JSON in `REDPONY_BORROWED`; the outcomes go to its `report`.

Their asyncio tests are for pytest-asyncio, which would meddle with our own if it were
installed. What they need of it is below.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from django.conf import settings

from redpony.leases import kept

ASKED: dict[str, Any] = json.loads(os.environ["REDPONY_BORROWED"])
OUTCOMES: dict[str, dict[str, str]] = {}

runner = asyncio.Runner()


def _bare(key: str, prefix: str, version: int) -> str:
    return key


def _lock(client: Any, name: str, **options: Any) -> Any:
    """Return what `lock_class(client, name, ...)` is to be."""
    from django.core.cache import cache

    return cache.lock(name, **options)


class _InAsyncio:
    """A lock, or a holding of it, with the names of redis-py's asyncio lock."""

    def __init__(self, ours: Any) -> None:
        self._ours = ours

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ours, f"a{name}", None) or getattr(self._ours, name)

    async def __aenter__(self) -> Self:
        return type(self)(await self._ours.__aenter__())

    async def __aexit__(self, *exc: object) -> Any:
        return await self._ours.__aexit__(*exc)


def _alock(client: Any, name: str, **options: Any) -> _InAsyncio:
    return _InAsyncio(_lock(client, name, **options))


# What there is of pytest-asyncio


def _fixture(**options: Any) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
                made = function(*args, **kwargs)
                yield runner.run(anext(made))
                runner.run(anext(made, None))

            return pytest.fixture(**options)(steps)

        @functools.wraps(function)
        def once(*args: Any, **kwargs: Any) -> Any:
            return runner.run(function(*args, **kwargs))

        return pytest.fixture(**options)(once)

    return decorate


# Before their `conftest.py` is read.
_pytest_asyncio: Any = types.ModuleType("pytest_asyncio")
_pytest_asyncio.fixture = _fixture
sys.modules["pytest_asyncio"] = _pytest_asyncio


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    runner.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


# The run


def pytest_configure(config: pytest.Config) -> None:
    settings.configure(
        SECRET_KEY="of redis-py's tests, and of nothing else",
        CACHES={
            "default": {
                "BACKEND": "redpony.cache.RedisCache",
                "LOCATION": ASKED["url"],
                "KEY_FUNCTION": _bare,
                # The machine is shared, and this is no test of speed.
                "OPTIONS": {"DEADLINE": 5, "CONNECT_TIMEOUT": 5},
            }
        },
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        assert isinstance(item, pytest.Function)
        is_async = "test_asyncio" in item.nodeid
        item.module.Lock = _alock if is_async else _lock


def pytest_runtest_teardown() -> None:
    """Forget what a test has not given back: they flush the server."""
    for lease in kept():
        lease.lose("the test is over")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        test = report.nodeid.removeprefix("tests/")
        # A test that failed stays failed, whatever its teardown does.
        if OUTCOMES.get(test, {}).get("outcome") != "failed":
            OUTCOMES[test] = {"outcome": report.outcome, "text": report.longreprtext}


def pytest_sessionfinish() -> None:
    runner.close()
    Path(ASKED["report"]).write_text(json.dumps(OUTCOMES))
