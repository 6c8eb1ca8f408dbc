"""CPython's own tests of barriers and events, on ours.

They come from `test.lock_tests` of the interpreter that runs. What does not apply, with
the reason, stands in `EXCEPT`.
"""

from __future__ import annotations

import itertools
import unittest
from typing import Any, ClassVar

import pytest
from test import lock_tests

from redpony.locks import Barrier, Event

EXCEPT = {
    "EventTests.test_at_fork_reinit": "a private method of threading's",
    "BarrierTests.test_action": "there is no action: others may be in other processes",
    "BarrierTests.test_repr": "a repr asks no server",
    "EventTests.test_repr": "a repr asks no server",
}

_number = itertools.count()


class SoBarrier:
    """Ours, with properties where threading has them."""

    def __init__(
        self, parties: int, action: Any = None, timeout: float | None = None
    ) -> None:
        assert action is None
        self._barrier = Barrier(f"b{next(_number)}", parties, timeout=timeout)
        self.wait = self._barrier.wait
        self.abort = self._barrier.abort
        self.reset = self._barrier.reset
        self.parties = parties

    @property
    def n_waiting(self) -> int:
        return self._barrier.n_waiting()

    @property
    def broken(self) -> bool:
        return self._barrier.broken()


class Barriers(lock_tests.BarrierTests):
    __test__ = False  # by `test_cpython`
    barriertype: ClassVar[Any] = SoBarrier


class Events(lock_tests.EventTests):
    __test__ = False
    eventtype: ClassVar[Any] = staticmethod(lambda: Event(f"e{next(_number)}"))


def cases() -> list[Any]:
    found = []
    for suite, theirs in ((Barriers, "BarrierTests"), (Events, "EventTests")):
        for name in unittest.TestLoader().getTestCaseNames(suite):
            if f"{theirs}.{name}" not in EXCEPT:
                found.append(pytest.param(suite, name, id=f"{theirs}.{name}"))
    return found


@pytest.mark.borrowed
@pytest.mark.parametrize(("suite", "name"), cases())
def test_cpython(suite: Any, name: str, cache_on: Any, valkey: Any) -> None:
    valkey.flush()
    cache_on(valkey)
    # The watchdog of leases is a thread that stays.
    Barrier("first", 1).wait()
    result = unittest.TestResult()
    suite(name).run(result)
    problems = [text for _, text in (*result.errors, *result.failures)]
    assert not problems, problems[0]
    assert result.testsRun == 1


def test_the_exceptions_exist() -> None:
    names = {
        f"{theirs}.{name}"
        for suite, theirs in ((Barriers, "BarrierTests"), (Events, "EventTests"))
        for name in unittest.TestLoader().getTestCaseNames(suite)
    }
    assert set(EXCEPT) <= names
