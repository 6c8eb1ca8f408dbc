"""One leads; when it is gone another one does, and knows it in time."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from redpony.locks import Leader, Lock, LockError, LockLost
from redpony.locks.gate import Gate
from redpony.locks.leader import Leadership
from tests.locks.both import InBoth
from tests.locks.children import Children
from tests.locks.history import History, read
from tests.servers import until


class Elsewhere(Leadership):
    """A leadership that does not share this process' line."""

    gate = None  # type: ignore[assignment]


@pytest.fixture
def leader(make_cache: Any, colour: Any) -> Callable[..., Any]:
    """Return a function that makes a leader of another process than all others."""
    make_cache()

    def make(identity: str | None = None, **given: Any) -> Any:
        made = Leader("scheduler", identity=identity, **given)
        made._lock.__class__ = Elsewhere
        made._lock.gate = Gate()  # type: ignore[misc]
        return InBoth(made, colour)

    return make


@pytest.fixture
def body(colour: Any) -> Callable[[Callable[[Any], Any]], Any]:
    """Return a function that gives a body the colour of the test."""

    def make(function: Callable[[Any], Any]) -> Any:
        async def awaiting(held: Any) -> Any:
            return function(held)

        return awaiting if colour.is_async else function

    return make


def test_one_leads_and_all_know_who(leader: Any, keys: Any) -> None:
    one, two = leader("host 1/é"), leader("host 2")
    assert two.leader() is None
    with one as held:
        assert one.is_leader
        assert one.fence == held.fence
        assert not two.is_leader
        assert two.fence is None
        assert one.leader() == two.leader() == "host 1/é"
    assert not one.is_leader
    with two as held:
        assert one.leader() == "host 2"
    assert two.leader() is None
    assert keys() == set()


def test_without_an_identity_it_is_the_host_and_process(leader: Any) -> None:
    one = leader()
    with one:
        assert one.leader().endswith(f"-{os.getpid()}")


def test_a_lock_of_the_same_name_is_another_thing(leader: Any) -> None:
    with leader(), Lock("scheduler", blocking=False):
        pass


def test_run_returns_what_its_body_does(leader: Any, body: Any) -> None:
    one = leader("one")
    told: list[Any] = []
    one.target.on_elected = told.append

    def work(held: Any) -> Any:
        assert told == [held]
        return one.target.is_leader, one.target.fence == held.fence

    assert one.run(body(work)) == (True, True)
    assert not one.is_leader
    assert one.leader() is None


def test_what_its_body_raises_comes_out_of_run(leader: Any, body: Any) -> None:
    one = leader("one")
    with pytest.raises(ZeroDivisionError):
        one.run(body(lambda _: 1 / 0))
    assert one.leader() is None


def test_a_listener_that_fails_leaves_nobody_in_office(leader: Any, body: Any) -> None:
    one = leader("one", on_elected=lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError), one:
        pass
    with pytest.raises(ZeroDivisionError):
        one.run(body(lambda _: None))
    assert one.leader() is None
    assert not one.is_leader


def test_who_was_deposed_campaigns_again(
    leader: Any, body: Any, server: Any, colour: Any
) -> None:
    told: list[Any] = []
    one = leader("one", lease=0.6, on_lost=told.append)
    terms: list[Any] = []

    def work(held: Any) -> Any:
        terms.append(held)
        if len(terms) == 3:
            return "done"
        server.flush()
        if len(terms) == 2:
            assert held.lost.wait(30)
        if colour.is_async:
            return None
        while True:  # and never looks whether it still leads, but for this
            held.check()
            time.sleep(0.01)

    async def awork(held: Any) -> Any:
        if (done := work(held)) is None:
            await asyncio.sleep(60)
        return done

    assert one.run(awork if colour.is_async else work) == "done"
    assert [held.valid for held in terms] == [False] * 3
    fences = [held.fence for held in terms]
    assert fences == sorted(set(fences))
    assert told == terms[:2]


def test_a_body_that_did_not_notice_is_called_again(
    leader: Any, body: Any, server: Any
) -> None:
    one = leader("one", lease=0.6)
    terms: list[Any] = []

    def work(held: Any) -> Any:
        terms.append(held)
        if len(terms) == 1:
            server.flush()
            assert held.lost.wait(30)
        return len(terms)

    assert one.run(body(work)) == 2


def test_the_loss_of_another_lock_is_an_error_of_the_body(
    leader: Any, body: Any
) -> None:
    one = leader("one")

    def work(_: Any) -> None:
        raise LockLost("gone", name="another")

    with pytest.raises(LockLost, match="gone"):
        one.run(body(work))


def test_who_resigns_stands_behind_the_others(make_cache: Any, server: Any) -> None:
    make_cache()
    order: list[str] = []
    ready = threading.Event()

    def campaign(identity: str, *, resigns: bool) -> threading.Thread:
        leader = Leader("scheduler", identity=identity)
        leader._lock.__class__ = Elsewhere
        leader._lock.gate = Gate()  # type: ignore[misc]

        def work(held: Any) -> None:
            order.append(identity)
            if resigns and order == [identity]:
                assert ready.wait(30)
                leader.resign()
                assert held.lost
                assert not leader.is_leader

        thread = threading.Thread(target=leader.run, args=(work,))
        thread.start()
        return thread

    first = campaign("one", resigns=True)
    until(lambda: order == ["one"], "the first leads")
    second = campaign("two", resigns=False)
    queue = "redpony{:scheduler}:leader-line:queue"
    until(lambda: server.ask("ZCARD", queue) == 1, "the second is in line")
    ready.set()
    first.join(30)
    second.join(30)
    assert order == ["one", "two", "one"]


def test_resigning_cancels_the_body(leader: Any, colour: Any) -> None:
    one = leader("one")
    terms: list[int] = []

    async def awork(held: Any) -> str:
        terms.append(held.fence)
        if len(terms) == 1:
            one.target.resign()
            await asyncio.sleep(60)
        return "done"

    def work(held: Any) -> str:
        terms.append(held.fence)
        if len(terms) == 1:
            one.target.resign()
            held.check()
        return "done"

    assert one.run(awork if colour.is_async else work) == "done"
    assert len(terms) == 2


def test_who_is_stopped_ends_its_body_and_its_campaign(
    leader: Any, colour: Any
) -> None:
    one, two = leader("one"), leader("two")

    async def awork(_: Any) -> None:
        one.target.stop()
        await asyncio.sleep(60)

    def work(held: Any) -> None:
        one.target.stop()
        assert held.lost.wait(30)

    assert one.run(awork if colour.is_async else work) is None
    assert two.leader() is None
    assert one.run(awork if colour.is_async else work) is None
    with pytest.raises(LockError, match="'scheduler' was stopped"), one:
        pass


def test_a_campaign_that_waits_is_stopped(leader: Any) -> None:
    one, two = leader("one"), leader("two")
    with one:
        threading.Timer(0.2, two.target.stop).start()
        assert two.run(None) is None


def test_a_task_that_is_cancelled_resigns(make_cache: Any, server: Any) -> None:
    make_cache()

    async def main() -> None:
        leader = Leader("scheduler", identity="one")
        begun = asyncio.Event()

        async def work(_: Any) -> None:
            begun.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(leader.arun(work))
        await begun.wait()
        assert await leader.aleader() == "one"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await leader.aleader() is None
        assert not leader.is_leader

    asyncio.run(main())


def test_a_body_under_with_is_told_of_the_loss(leader: Any, server: Any) -> None:
    one = leader("one", lease=0.6)
    with pytest.raises(LockLost, match="The leadership 'scheduler' was lost"):
        with one as held:
            server.flush()
            if one.colour.is_async:
                one.colour.run(asyncio.sleep(60))
            assert held.lost.wait(30)
            assert not one.is_leader


@pytest.mark.parametrize("identity", ["", "x" * 201, 7, b"host"])
def test_an_identity_is_a_text(make_cache: Any, server: Any, identity: Any) -> None:
    make_cache()
    with pytest.raises(ValueError, match="identity must be a text of 1 to 200"):
        Leader("scheduler", identity=identity)


def test_a_campaign_outlasts_an_outage(
    cache_on: Any, cold_server: Any, colour: Any, body: Any, caplog: Any
) -> None:
    server = cold_server("valkey")
    cache_on(server)
    one = InBoth(Leader("scheduler", identity="one"), colour)
    server.kill()
    timer = threading.Timer(1, server.start)
    timer.start()
    assert one.run(body(lambda held: held.valid)) is True
    timer.join()
    assert "Nobody can be elected 'scheduler'" in caplog.text


def test_a_leader_does_not_outlast_an_outage(
    cache_on: Any, cold_server: Any, colour: Any, body: Any
) -> None:
    """It ends by its own clock, and leads again when there is a server."""
    server = cold_server("valkey")
    cache_on(server)
    one = InBoth(Leader("scheduler", identity="one", lease=0.6), colour)
    terms: list[Any] = []

    def work(held: Any) -> int:
        terms.append(held)
        if len(terms) == 1:
            server.kill()
            began = time.monotonic()
            assert held.lost.wait(30)
            assert held.until >= began
            assert not one.is_leader
            server.start()
        return len(terms)

    assert one.run(body(work)) == 2
    assert terms[0].fence < terms[1].fence


# Whole processes


class Candidates(Children):
    """Processes that would lead."""

    def __init__(self, server: Any, path: Path) -> None:
        super().__init__("tests.locks.candidate", server)
        self.path = path

    def history(self) -> History:
        return read(self.path) if self.path.exists() else History()

    def wait_for_another(self, than: str = "") -> str:
        """Wait until another one leads, and return who."""

        def leader() -> str:
            holdings = self.history().holdings
            latest = max(holdings, key=lambda each: each.fence, default=None)
            return latest.who if latest else than

        until(lambda: leader() != than, "another one leads")
        return leader()


@pytest.fixture
def candidates(server: Any, tmp_path: Path) -> Iterator[Candidates]:
    found = Candidates(server, tmp_path / "diary")
    yield found
    found.end()


def test_a_killed_leader_is_followed_and_a_stopped_one_knows_it(
    candidates: Candidates, make_cache: Any
) -> None:
    make_cache()
    asking = Leader("scheduler")
    for identity, colour in (("a", "sync"), ("b", "async"), ("c", "sync")):
        candidates.spawn(identity, candidates.path, colour)
    first = candidates.wait_for_another()
    assert asking.leader() == first
    candidates.kill(first)
    second = candidates.wait_for_another(first)
    candidates.freeze(second)
    third = candidates.wait_for_another(second)
    assert asking.leader() == third
    candidates.thaw(second)
    candidates.kill(third)
    assert candidates.wait_for_another(third) == second
    until(
        lambda: candidates.history().counts["leave"] == 1,
        "the stopped one has ended its body",
    )
    terms = candidates.history().by_name()["scheduler"]
    assert len(terms) == 4
    for before, after in pairwise(terms):
        assert before.sure < after.began
        assert before.fence < after.fence
