"""The fault suite's own instruments: a crowd notices each lie of a cache."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from redpony.errors import Unavailable
from tests.faults.pulse import Pulse, Stalls
from tests.faults.scoreboard import Board, matrix, totals
from tests.faults.workload import Load


class DictCache:
    """A cache in this process' memory, which tells the truth."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.lock = threading.RLock()
        self.calls = itertools.count(1)
        pool = SimpleNamespace(in_use=0, opened=0)
        loops = SimpleNamespace(by_loop={}, places=SimpleNamespace(taken=0))
        link = SimpleNamespace(
            config=SimpleNamespace(deadline=0.05, connect_timeout=0.05),
            blocking=SimpleNamespace(pool=pool),
            awaiting=SimpleNamespace(loops=loops),
            close=lambda: None,
        )
        self.alias = SimpleNamespace(link=link)

    def __getattr__(self, name: str) -> Any:
        method = getattr(type(self), name[1:]) if name[0] == "a" else None
        if method is None:
            raise AttributeError(name)

        async def call(*args: Any) -> Any:
            await asyncio.sleep(0)
            return getattr(self, name[1:])(*args)

        return call

    def get(self, key: str, default: Any = None) -> Any:
        return self.data.get(key, default)

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        return {key: self.data[key] for key in keys if key in self.data}

    def set(self, key: str, value: Any, timeout: Any = None) -> bool:
        self.data[key] = value
        return True

    def delete(self, key: str) -> bool:
        return self.data.pop(key, None) is not None

    def incr(self, key: str, *args: Any) -> int:
        with self.lock:
            self.data[key] = self.data.get(key, 0) + 1
            return int(self.data[key])

    def rpush(self, key: str, value: str) -> int:
        with self.lock:
            self.data.setdefault(key, []).append(value)
            return len(self.data[key])

    def lrange(self, key: str, start: int, end: int) -> list[str]:
        return list(self.data.get(key, []))

    def now_and_then(self) -> bool:
        return next(self.calls) % 20 == 0


class CountsTwice(DictCache):
    def incr(self, key: str, *args: Any) -> int:
        if self.now_and_then():
            super().incr(key)
        return super().incr(key)


class PushesTwice(DictCache):
    def rpush(self, key: str, value: str) -> int:
        if self.now_and_then():
            super().rpush(key, value)
        return super().rpush(key, value)


class AnswersOfOthers(DictCache):
    def get(self, key: str, default: Any = None) -> Any:
        if self.data and self.now_and_then():
            # Of another key, whichever comes.
            others = [v for k, v in list(self.data.items()) if k != key]
            return others[0] if others else default
        return super().get(key, default)


class SaysNotSentAndDoesIt(DictCache):
    def rpush(self, key: str, value: str) -> int:
        done = super().rpush(key, value)
        if self.now_and_then():
            raise Unavailable("It was not sent", outcome="not_sent")
        return done


class SaysUnknown(DictCache):
    """Applies what it calls unknown half of the time: the truth."""

    def doubtful(self) -> bool | None:
        call = next(self.calls) % 20
        return None if call > 1 else bool(call)

    def incr(self, key: str, *args: Any) -> int:
        doubt = self.doubtful()
        done = 0 if doubt is False else super().incr(key)
        if doubt is not None:
            raise Unavailable("Who knows", outcome="unknown")
        return done

    def set(self, key: str, value: Any, timeout: Any = None) -> bool:
        doubt = self.doubtful()
        if doubt is not False:
            super().set(key, value)
        if doubt is not None:
            raise Unavailable("Who knows", outcome="unknown")
        return True


class Forgets(DictCache):
    def set(self, key: str, value: Any, timeout: Any = None) -> bool:
        return self.now_and_then() or super().set(key, value)


class Holds(DictCache):
    def get(self, key: str, default: Any = None) -> Any:
        if next(self.calls) == 50:
            # Longer than a slow machine is excused for.
            time.sleep(4.0)
        return super().get(key, default)


class Leaks(DictCache):
    def delete(self, key: str) -> bool:
        self.alias.link.blocking.pool.in_use = 1
        return super().delete(key)


class Breaks(DictCache):
    def get(self, key: str, default: Any = None) -> Any:
        raise KeyError(key)


def run(cache: DictCache, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Any:
    monkeypatch.setattr("tests.faults.slots.PATIENCE", 0.05)
    recorded: dict[str, float] = {}
    how = {"threads": 2, "tasks": 2, **how}
    load = Load(cache, pace=0, record=recorded.update, **how)
    with load:
        load.go_on(300)
    try:
        load.verdict()
    except AssertionError as error:
        return recorded, str(error)
    return recorded, ""


@pytest.mark.parametrize("honest", [DictCache, SaysUnknown])
def test_a_cache_that_tells_the_truth_passes(honest, monkeypatch):
    figures, complaint = run(honest(), monkeypatch)
    assert complaint == ""
    assert figures["operations"] >= 1200
    assert (figures["wrong"], figures["duplicates"], figures["slots"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("lies", "figure"),
    [
        (CountsTwice, "duplicates"),
        (PushesTwice, "duplicates"),
        (AnswersOfOthers, "wrong"),
        (SaysNotSentAndDoesIt, "wrong"),
        (Forgets, "lost"),
        (Leaks, "slots"),
    ],
)
def test_a_lie_is_found_and_counted(lies, figure, monkeypatch):
    figures, complaint = run(lies(), monkeypatch)
    assert complaint
    assert figures[figure] > 0


def test_who_holds_a_caller_fails(monkeypatch):
    # (In a task, a sleep would look like a machine that stands still.)
    figures, complaint = run(Holds(), monkeypatch, tasks=0)
    assert "held" in complaint
    assert figures["held"] >= 1.0


def test_an_error_that_is_not_ours_ends_the_crowd(monkeypatch):
    with pytest.raises(KeyError):
        run(Breaks(), monkeypatch)


def test_a_stall_of_the_machine_is_nobodys_fault(monkeypatch):
    stalls = Stalls()
    stalls._found = [(10.0, 10.4), (11.0, 12.0)]
    assert stalls.within(10.1, 11.5) == pytest.approx(0.8)
    assert stalls.within(10.5, 10.9) == 0


def test_a_pulse_notes_when_its_process_was_busy_elsewhere():
    with Pulse() as pulse:
        start = time.monotonic()
        # One bytecode that holds the interpreter: nobody else runs meanwhile.
        sorted(range(3_000_000, 0, -1), key=str)
        end = time.monotonic()
        time.sleep(0.05)
    assert pulse.excused(start, end) > 0
    assert pulse.excused(start, end) <= end - start


def report(nodeid, when, outcome, **properties):
    return SimpleNamespace(
        nodeid=nodeid,
        when=when,
        outcome=outcome,
        user_properties=list(properties.items()),
    )


def test_a_board_counts_tests_by_fault_and_topology():
    board = Board()
    titles = {"a": "F10: b.", "b": "F10: b", "c": "F2: a.\n\nMore."}
    for nodeid, outcome in (("a", "passed"), ("b", "failed"), ("c", "passed")):
        fault = titles[nodeid]
        for when in ("setup", "call", "teardown"):
            met = outcome if when == "call" else "passed"
            figures = {"held": 0.1, "wrong": 1} if nodeid == "a" else {"held": 0.2}
            board.note(
                report(
                    nodeid, when, met, fault=fault, topology="cluster", figures=figures
                )
                if nodeid != "c"
                else report(nodeid, when, met, fault=fault)
            )
    found = board.results()
    assert list(found["faults"]) == ["F2", "F10"]
    cell = found["faults"]["F10"]["places"]["cluster"]
    assert (cell["passed"], cell["tests"]) == (1, 2)
    assert cell["figures"] == {"held": 0.2, "wrong": 1}
    assert totals(found)["passed"] == 2
    drawn = matrix(found)
    assert "| F10 b | 1 of 2  |" in drawn
    assert "not measured" in next(row for row in drawn.splitlines() if "F2 a" in row)
