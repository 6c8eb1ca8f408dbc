"""Run CPython's own tests of `threading`'s locks on Redpony's.

`python cpython_runner.py URL REPORT`: a server, and a file for the outcomes. It is a
process of its own because those tests count the threads of theirs. Not a test module
itself: `test_cpython_suite.py` starts it and judges.

They are `test.lock_tests` of the interpreter that runs. Debian and the official images
leave most of `test` out; there gevent's copy is taken, of an older CPython.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import unittest
from pathlib import Path
from typing import Any

from django.conf import settings

from redpony.locks import Lock, LockError, Semaphore

try:
    from test import lock_tests
except ImportError:
    from gevent.tests import lock_tests

_numbers = itertools.count()


def _fresh() -> str:
    return f"cpython {next(_numbers)}"


def _patience(blocking: bool, timeout: float | None) -> float | None:
    """Return what `blocking_timeout` is for the arguments of theirs."""
    if timeout is None or timeout == -1:
        return None
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > threading.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout


class AsLock(Lock):
    """A `Lock` with the signatures and the errors of `threading.Lock`."""

    def __init__(self) -> None:
        super().__init__(_fresh(), thread_local=False)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # type: ignore[override]
        patience = _patience(blocking, timeout)
        return super().acquire(blocking=blocking, blocking_timeout=patience)

    def release(self) -> None:  # type: ignore[override]
        try:
            super().release()
        except LockError as error:
            raise RuntimeError(str(error)) from error


class AsRLock(AsLock):
    """A reentrant one; it belongs to its thread."""

    def __init__(self) -> None:
        Lock.__init__(self, _fresh(), reentrant=True)

    def _is_owned(self) -> bool:
        return self.owned()

    def _recursion_count(self) -> int:
        held = self.held
        return held.count if held else 0


class AsSemaphore(Semaphore):
    """A `Semaphore` with the signatures and the errors of `threading`'s."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(_fresh(), value, thread_local=False)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:  # type: ignore[override]
        patience = _patience(blocking, timeout)
        return super().acquire(blocking=blocking, blocking_timeout=patience)

    def release(self, n: int = 1) -> None:  # type: ignore[override]
        for _ in range(n):
            super().release()


class AsCondition(threading.Condition):
    """CPython's own, on a lock of ours."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__(lock or AsRLock())


# What is run: a case of theirs, and what it is to be run on. A row more for whatever
# else has the interface of one of `threading`'s: EventTests ask for `eventtype`,
# BarrierTests for `barriertype`. What may fail is in cpython_exceptions.toml.
ROWS: dict[str, tuple[type[unittest.TestCase], dict[str, Any]]] = {
    "Lock": (lock_tests.LockTests, {"locktype": AsLock}),
    "RLock": (lock_tests.RLockTests, {"locktype": AsRLock}),
    "Semaphore": (lock_tests.SemaphoreTests, {"semtype": AsSemaphore}),
    "BoundedSemaphore": (lock_tests.BoundedSemaphoreTests, {"semtype": AsSemaphore}),
    "Condition": (lock_tests.ConditionTests, {"condtype": AsCondition}),
}


class Recorder(unittest.TextTestResult):
    """A result that remembers how each test ended, by `Row.test`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        self.outcomes[_name(test)] = ""
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        for failed, text in (*self.failures, *self.errors, *self.skipped):
            if failed is test:
                self.outcomes[_name(test)] = text
        super().stopTest(test)


def _name(test: unittest.TestCase) -> str:
    return f"{type(test).__name__}.{test._testMethodName}"


def main(url: str, report: Path) -> None:
    """Run the tests, and write how they ended: '' or what went wrong."""
    settings.configure(
        SECRET_KEY="of CPython's tests, and of nothing else",
        CACHES={
            "default": {
                "BACKEND": "redpony.cache.RedisCache",
                "LOCATION": url,
                # The machine is shared, and this is no test of speed.
                "OPTIONS": {"DEADLINE": 5, "CONNECT_TIMEOUT": 5},
            }
        },
    )
    # The thread that looks after leases is there for good: they count threads.
    with Lock(_fresh()):
        pass
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(type(row, (case,), attributes))
        for row, (case, attributes) in ROWS.items()
    )
    runner = unittest.TextTestRunner(resultclass=Recorder, verbosity=2)
    result = runner.run(suite)
    outcomes = {"of": lock_tests.__name__, "tests": result.outcomes}
    report.write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
