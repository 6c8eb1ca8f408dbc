"""One thread looks at a topology, for all who ask, and never more than that."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redpony.errors import Unavailable
from redpony.wire.topology import watch
from redpony.wire.topology.watch import Watcher
from tests.wire.links import until

HOUR = 3600.0


class Looker:
    """Looks at nothing, as slowly as the test likes, and counts."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.at_once = 0
        self.most_at_once = 0
        self.deafened = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.meets: list[BaseException] = []
        self.well = True
        self.mouth, self._ear = socket.socketpair()
        self._ear.setblocking(False)
        self.worth_a_look = True
        self.heard = 0

    def look(self) -> bool:
        self.begun += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.may_end.wait(10)
        self.at_once -= 1
        self.ended += 1
        if self.meets:
            raise self.meets.pop(0)
        return self.well

    def ear(self) -> Any:
        return self._ear

    def hear(self) -> bool:
        self._ear.recv(100)
        self.heard += 1
        return self.worth_a_look

    def deafen(self) -> None:
        self.deafened += 1

    def close(self) -> None:
        self.may_end.set()
        self.mouth.close()
        self._ear.close()


@pytest.fixture
def looker() -> Iterator[Looker]:
    looker = Looker()
    yield looker
    looker.close()


@pytest.fixture
def watcher(looker: Looker) -> Iterator[Watcher]:
    watcher = Watcher(looker, HOUR, "redpony watches the tests")
    yield watcher
    looker.may_end.set()
    watcher.stop()
    assert not threads()


def threads() -> list[threading.Thread]:
    return [
        each
        for each in threading.enumerate()
        if each.name.endswith("watches the tests")
    ]


class Asked:
    """A question, and what it was told."""

    def __init__(self, watcher: Watcher) -> None:
        self.answers: list[BaseException | None] = []
        self.by: list[threading.Thread] = []
        watcher.ask(self._told)

    def _told(self, error: BaseException | None) -> None:
        self.by.append(threading.current_thread())
        self.answers.append(error)

    def wait(self) -> BaseException | None:
        until(lambda: self.answers)
        (answer,) = self.answers
        return answer


def test_nobody_watches_until_somebody_asks(watcher: Watcher, looker: Looker) -> None:
    assert threads() == []
    assert Asked(watcher).wait() is None
    assert [each.daemon for each in threads()] == [True]
    assert looker.begun == watcher.looks == 1


def test_however_many_ask_there_is_one_look_at_a_time(
    watcher: Watcher, looker: Looker
) -> None:
    looker.may_end.clear()
    first = Asked(watcher)
    until(lambda: looker.begun == 1)
    rest = [Asked(watcher) for _ in range(100)]
    looker.may_end.set()
    assert [each.wait() for each in (first, *rest)] == [None] * 101
    assert looker.begun == 2
    assert looker.most_at_once == 1


def test_each_is_told_after_a_look_that_began_after_its_question(
    watcher: Watcher, looker: Looker
) -> None:
    looker.may_end.clear()
    Asked(watcher)
    until(lambda: looker.begun == 1)
    late = Asked(watcher)
    looker.may_end.set()
    until(lambda: looker.ended == 1)
    late.wait()
    assert looker.ended == 2


def test_who_asks_from_many_threads_is_told_once_each(
    watcher: Watcher, looker: Looker
) -> None:
    met: list[Any] = []

    def ask() -> None:
        for _ in range(20):
            met.append(Asked(watcher).wait())

    crowd = [threading.Thread(target=ask) for _ in range(8)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert met == [None] * 160
    assert looker.most_at_once == 1
    assert len(threads()) == 1


def test_what_a_look_meets_is_told_to_those_who_asked_and_not_to_the_next(
    watcher: Watcher, looker: Looker
) -> None:
    failure = Unavailable("nobody answers")
    looker.meets = [failure]
    assert Asked(watcher).wait() is failure
    assert watcher.failure(60) is failure
    assert Asked(watcher).wait() is None
    assert watcher.failure(60) is None


def test_a_look_that_fails_in_its_own_way_is_logged_and_ends_nothing(
    watcher: Watcher, looker: Looker, caplog: pytest.LogCaptureFixture
) -> None:
    failure = ZeroDivisionError("a bug of ours")
    looker.meets = [failure]
    with caplog.at_level(logging.ERROR, "redpony"):
        assert Asked(watcher).wait() is failure
    assert "redpony watches the tests" in caplog.text
    assert Asked(watcher).wait() is None
    assert len(threads()) == 1


def test_a_complaint_has_the_topology_looked_at(
    watcher: Watcher, looker: Looker
) -> None:
    Asked(watcher).wait()
    watcher.nudge()
    until(lambda: looker.begun > 1)


def test_who_complains_all_the_time_costs_one_look_in_a_while(
    watcher: Watcher, looker: Looker
) -> None:
    Asked(watcher).wait()
    begun = time.monotonic()
    for _ in range(10_000):
        watcher.nudge()
    lasted = time.monotonic() - begun
    # Not how fast it was, but how often at most in this time.
    assert looker.begun <= 2 + lasted / watch.SOON


def test_trouble_is_looked_at_until_it_is_over(
    watcher: Watcher, looker: Looker
) -> None:
    looker.well = False
    watcher.nudge()
    until(lambda: looker.begun >= 4)
    looker.well = True
    # All is well, and nobody has complained since: the next look is in an hour.
    until(lambda: watcher._trouble_since == 0.0)
    seen = looker.begun
    Asked(watcher).wait()
    assert looker.begun == seen + 1


def test_trouble_that_nobody_complains_of_is_forgotten(
    watcher: Watcher, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CALM", 0.1)
    looker.well = False
    watcher.nudge()
    until(lambda: watcher._trouble_since == 0.0 and looker.begun)


def test_a_change_is_looked_at_soon_though_nobody_complains(
    watcher: Watcher, looker: Looker
) -> None:
    Asked(watcher).wait()
    watcher.stir()
    until(lambda: looker.begun == 2)
    assert watcher._trouble_since == 0.0


def test_news_has_the_topology_looked_at(watcher: Watcher, looker: Looker) -> None:
    Asked(watcher).wait()
    looker.mouth.send(b"+switch-master")
    until(lambda: looker.begun == 2)


def test_news_about_others_is_no_reason(watcher: Watcher, looker: Looker) -> None:
    looker.worth_a_look = False
    Asked(watcher).wait()
    looker.mouth.send(b"about somebody else")
    until(lambda: looker.heard == 1)
    assert looker.begun == 1


def test_it_looks_now_and_then_when_nothing_happens(looker: Looker) -> None:
    watcher = Watcher(looker, 0.02, "redpony watches the tests")
    watcher.start()
    until(lambda: looker.begun > 3)
    watcher.stop()


def test_after_its_end_no_thread_is_left_and_the_next_question_starts_one(
    watcher: Watcher, looker: Looker
) -> None:
    for count in range(1, 4):
        assert Asked(watcher).wait() is None
        assert len(threads()) == 1
        watcher.stop()
        assert threads() == []
        assert looker.deafened == count
    watcher.stop()


def test_who_asked_when_it_ended_is_told(watcher: Watcher, looker: Looker) -> None:
    looker.may_end.clear()
    Asked(watcher)
    until(lambda: looker.begun == 1)
    late = Asked(watcher)
    stopping = threading.Thread(target=watcher.stop)
    stopping.start()
    until(lambda: watcher._stopping)
    looker.may_end.set()
    stopping.join()
    assert late.wait() is None


def test_who_asks_while_it_ends_is_not_told_before_a_look(
    watcher: Watcher, looker: Looker
) -> None:
    looker.may_end.clear()
    Asked(watcher)
    until(lambda: looker.begun == 1)
    stopping = threading.Thread(target=watcher.stop)
    stopping.start()
    until(lambda: watcher._thread is None)
    late = Asked(watcher)
    until(lambda: looker.begun == 2 or _joins(threads()[-1]))
    looker.may_end.set()
    stopping.join()
    late.wait()
    assert looker.ended == 2
    assert looker.most_at_once == 1
    assert late.by == threads()


def _joins(thread: threading.Thread) -> bool:
    """Whether a thread waits for another one to end."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code is threading.Thread.join.__code__:
            return True
        frame = frame.f_back
    return False


def test_it_may_be_ended_by_who_is_told(watcher: Watcher, looker: Looker) -> None:
    watcher.ask(lambda error: watcher.stop())
    until(lambda: not threads() and looker.begun)


def test_a_loop_that_has_ended_harms_nobody(watcher: Watcher) -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    def told(error: BaseException | None) -> None:
        loop.call_soon_threadsafe(print)

    watcher.ask(told)
    assert Asked(watcher).wait() is None
    assert len(threads()) == 1


def test_a_thread_that_was_lost_is_replaced(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lost.append)

    def told(error: BaseException | None) -> None:
        raise KeyError("a bug of the caller's")

    watcher.ask(told)
    until(lambda: lost and not threads())
    assert Asked(watcher).wait() is None


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_a_thread_of_its_own(
    watcher: Watcher, looker: Looker
) -> None:
    Asked(watcher).wait()
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            watcher.reset_after_fork()
            alive = len(threads())
            Asked(watcher).wait()
            os.write(writes, f"{alive} {watcher.looks}".encode())
            watcher.stop()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        assert answer.read() == "0 1"
    assert Asked(watcher).wait() is None
    assert watcher.looks == 2


def test_it_costs_no_descriptors_to_end_and_begin(
    watcher: Watcher, looker: Looker
) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    Asked(watcher).wait()
    watcher.stop()
    before = count()
    for _ in range(10):
        Asked(watcher).wait()
        watcher.stop()
    assert count() == before


def test_who_asked_is_forgotten_when_told(watcher: Watcher) -> None:
    asked = Asked(watcher)
    asked.wait()
    gone = weakref.ref(asked)
    del asked
    until(lambda: gone() is None)
