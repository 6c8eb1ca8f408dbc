"""Who takes locks, for how long, and who loses them: the events, log and metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from redpony import events
from redpony.contrib.opentelemetry import instrument, uninstrument
from redpony.eventlog import EventLog, event_log
from redpony.events import LockAcquired, LockLost, LockReleased, Operation
from redpony.locks import Lock, LockNotOwned, ReadWriteLock, Semaphore
from redpony.locks import LockLost as Lost
from redpony.locks.gate import Gate
from tests.locks.both import InBoth
from tests.locks.conftest import Rival
from tests.plans.recorder import Recorder

KINDS = (LockAcquired, LockReleased, LockLost)


@pytest.fixture(autouse=True)
def place(cache_on: Any, valkey: Any) -> None:
    valkey.flush()
    cache_on(valkey)


@pytest.fixture
def lock(colour: Any) -> Callable[..., Any]:
    return lambda name="job", **options: InBoth(Lock(name, **options), colour)


@pytest.fixture(params=["alone", "with operations"])
def told(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Return who listens to locks; beside one who listens to all operations, or not.

    These are two ways through the code: the short one is not taken with operations.
    """
    more = (Operation,) if request.param != "alone" else ()
    with Recorder(*KINDS, *more) as recorder:
        assert events.listening is bool(more)
        yield recorder


def of_locks(told: Recorder) -> list[Any]:
    return [each for each in told.events if isinstance(each, KINDS)]


def kinds(told: Recorder) -> list[type]:
    return [type(each) for each in of_locks(told)]


def test_who_takes_a_lock_and_gives_it_back_is_told(lock: Any, told: Any) -> None:
    with lock():
        (taken,) = of_locks(told)
    taken, given = of_locks(told)
    assert (taken.alias, taken.name, taken.kind) == ("default", "job", "lock")
    assert (given.alias, given.name, given.kind) == ("default", "job", "lock")
    assert not taken.handed_over
    assert 0 < taken.waited < 60
    assert 0 < given.held < 60


def test_each_way_of_giving_it_back_is_told_once(lock: Any, told: Any) -> None:
    mine = lock()
    for give_back in (mine.release, lambda: mine.target._held.popitem()[1].release()):
        assert mine.acquire()
        give_back()
    assert kinds(told) == [LockAcquired, LockReleased] * 2


def test_kinds_have_names(colour: Any, told: Any) -> None:
    both = ReadWriteLock("book")
    for claim in (Semaphore("places", 2), both.read, both.write):
        with InBoth(claim, colour):
            pass
    found = [(type(each), each.kind) for each in of_locks(told)]
    assert found == [
        (kind, name)
        for name in ("semaphore", "read lock", "write lock")
        for kind in (LockAcquired, LockReleased)
    ]


def test_who_enters_again_has_it_once(lock: Any, told: Any) -> None:
    mine = lock(reentrant=True)
    with mine, mine, mine:
        pass
    assert kinds(told) == [LockAcquired, LockReleased]


def test_who_gets_nothing_has_nothing(lock: Any, told: Any) -> None:
    with lock():
        assert not lock().acquire(blocking=False)
        assert not lock().acquire(blocking_timeout=0.01)
    assert kinds(told) == [LockAcquired, LockReleased]


def waiting(claim: Any) -> threading.Thread:
    """Return a thread that waits for a lock, once it does."""

    def run() -> None:
        with claim:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    while not claim.gate.is_contended:
        thread.join(0.001)
    return thread


def test_who_is_handed_a_lock_is_told_so(lock: Any, told: Any) -> None:
    with lock():
        thread = waiting(Lock("job"))
    thread.join()
    first, second = [each for each in of_locks(told) if type(each) is LockAcquired]
    assert [first.handed_over, second.handed_over] == [False, True]
    assert second.waited > 0


def test_who_is_handed_it_by_another_process_too(
    lock: Any, told: Any, valkey: Any
) -> None:
    other = Rival("job")
    other.gate = Gate()
    with lock():
        thread = waiting(other)
        while not any(key.endswith(b":queue") for key in list(valkey.keys())):
            thread.join(0.001)
    thread.join()
    *_, second = [each for each in of_locks(told) if type(each) is LockAcquired]
    assert second.handed_over


def test_a_lock_whose_time_is_over_is_lost(lock: Any, told: Any) -> None:
    mine = lock(timeout=0.05)
    assert mine.acquire()
    (held,) = mine.target._held.values()
    assert held.lost.wait(30)
    with pytest.raises(LockNotOwned):
        mine.release()
    while not told.of(LockLost):  # the watchdog tells it
        time.sleep(0.001)
    taken, lost = of_locks(told)
    assert type(taken) is LockAcquired
    assert lost == LockLost("default", "job", "lock", "its time is over")


def test_what_was_told_as_lost_is_not_given_back_as_if_it_were_not(
    lock: Any, told: Any
) -> None:
    """The server counts from later on: it may still have the lock at that moment."""
    mine = lock()
    assert mine.acquire()
    (held,) = mine.target._held.values()
    held.lose("its time is over")
    with pytest.raises(LockNotOwned):
        mine.release()
    assert not mine.locked()
    assert [type(each) for each in of_locks(told)] == [LockAcquired, LockLost]


def test_a_lock_that_somebody_ended_is_lost(lock: Any, told: Any, valkey: Any) -> None:
    mine = lock()
    assert mine.acquire()
    valkey.flush()
    with pytest.raises(Lost):
        mine.release()
    taken, lost = of_locks(told)
    assert type(taken) is LockAcquired
    assert lost == LockLost("default", "job", "lock", "somebody else has ended it")


def test_a_body_that_ends_without_its_lock_has_lost_it(
    lock: Any, told: Any, valkey: Any
) -> None:
    with pytest.raises(Lost):
        with lock():
            valkey.flush()
    assert kinds(told) == [LockAcquired, LockLost]


def test_what_is_given_back_twice_is_not_lost(lock: Any, told: Any) -> None:
    mine = lock()
    assert mine.acquire()
    held = InBoth(next(iter(mine.target._held.values())), mine.colour)
    held.release()
    with pytest.raises(LockNotOwned):
        held.release()
    assert kinds(told) == [LockAcquired, LockReleased]


def test_who_listens_later_hears_nothing_of_what_was_taken_before(lock: Any) -> None:
    with lock():
        with Recorder(*KINDS) as late:
            mine = lock("other")
            assert mine.acquire()
    assert kinds(late) == [LockAcquired]
    mine.release()


@pytest.mark.parametrize("kind", [LockAcquired, LockReleased])
def test_who_asks_for_one_kind_is_told_of_it(lock: Any, kind: type) -> None:
    with Recorder(kind) as told:
        with lock():
            pass
    assert kinds(told) == [kind]


def test_without_listeners_nothing_is_made(
    lock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not events.lock_listening
    for name in ("LockAcquired", "LockReleased"):
        monkeypatch.delattr(events, name)
    with lock():
        pass


# -- Log and metrics --------------------------------------------------------


def test_a_lost_lock_is_a_warning_of_the_log(
    lock: Any, valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    event_log.flush()
    caplog.set_level(logging.INFO, logger="redpony")
    caplog.clear()
    mine = lock()
    assert mine.acquire()
    valkey.flush()
    with pytest.raises(Lost):
        mine.release()
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage() == (
        "default: the lock 'job' was lost while it was held: somebody else has ended it"
    )


def test_many_lost_locks_are_one_burst(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(every=30, quiet=5, clock=lambda: 0.0)
    caplog.set_level(logging.INFO)
    for number in range(5):
        log(LockLost("default", f"order:{number}", "lock", "its time is over"))
    log.flush()
    assert [each.getMessage() for each in caplog.records] == [
        "default: the lock 'order:0' was lost while it was held: its time is over",
        (
            "default: locks lost while they were held: 4 more within 0 s; "
            "the last: 'order:4': its time is over"
        ),
    ]


def test_locks_are_measured_by_kind_and_never_by_name(lock: Any, valkey: Any) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    instrument(meter_provider=meters)
    try:
        for number in range(3):
            with lock(f"secret-{number}"):
                pass
        mine = lock("secret-lost")
        assert mine.acquire()
        valkey.flush()
        with pytest.raises(Lost):
            mine.release()
        data = reader.get_metrics_data()
    finally:
        uninstrument()
        meters.shutdown()
    points = {
        metric.name: (metric.unit, *metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    common = {"redpony.alias": "default", "redpony.lock.kind": "lock"}
    unit, waited = points["redpony.lock.wait_time"]
    assert (unit, waited.count) == ("s", 4)
    assert dict(waited.attributes) == {**common, "redpony.lock.handed_over": False}
    assert waited.explicit_bounds[:3] == (0.001, 0.005, 0.01)
    unit, held = points["redpony.lock.hold_time"]
    assert (unit, held.count) == ("s", 3)
    assert dict(held.attributes) == common
    unit, lost = points["redpony.lock.lost"]
    assert (unit, lost.value) == ("{lock}", 1)
    assert dict(lost.attributes) == {
        **common,
        "redpony.reason": "somebody else has ended it",
    }
    assert "secret" not in data.to_json()
