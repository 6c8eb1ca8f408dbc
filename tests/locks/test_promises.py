"""Promises that no history shows: slots, forks, and what one is told when."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpony import leases
from redpony.leases import TICK
from redpony.locks import Lock, LockError, LockLost, LockNotOwned
from redpony.locks.gate import Gate
from redpony.locks.shares import Shares
from redpony.locks.terms import Terms, exclusive, own_key
from redpony.locks.tokens import new_token
from redpony.wire.topology.slots import slot_of
from tests.servers import Server, until


@pytest.fixture
def place(cache_on: Any, valkey: Server) -> Server:
    valkey.flush()
    cache_on(valkey)
    return valkey


class Rival(Lock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None  # type: ignore[assignment]


def rival(**options: Any) -> Rival:
    made = Rival("job", **options)
    made.gate = Gate()
    return made


def waiting(place: Server) -> int:
    return int(place.ask("ZCARD", "redpony{:job}:lock-line:queue"))


# -- I10 --------------------------------------------------------------------

NAMES = st.text(st.sampled_from("{}ab:é"), max_size=8)


def slots(terms: Terms) -> set[int]:
    mailbox = terms.mailboxes + new_token(None)
    keys = [key if isinstance(key, (str, bytes)) else str(key) for key in terms.keys]
    return {slot_of(key) for key in (*keys, mailbox)}


@given(prefix=NAMES, name=NAMES)
def test_all_keys_of_any_name_lie_in_one_slot(prefix: str, name: str) -> None:
    assert len(slots(exclusive(own_key(prefix, name, "lock")))) == 1
    for room in ("semaphore", "rw"):
        assert len(slots(Shares(own_key(prefix, name, room), 3))) == 1
    if name:
        # And with the bare key of somebody else's lock.
        assert len(slots(exclusive(name))) == 1


@given(one=st.tuples(NAMES, NAMES), two=st.tuples(NAMES, NAMES))
def test_two_names_never_share_a_key(
    one: tuple[str, str], two: tuple[str, str]
) -> None:
    if ":".join(one) != ":".join(two):
        ours, theirs = (exclusive(own_key(*each, "lock")) for each in (one, two))
        assert not set(ours.keys) & set(theirs.keys)


@pytest.mark.parametrize(
    ("one", "two"),
    [("{a}", "{a}:queue"), ("{u:7}job", "{u:7}job:alive"), ("{a}", "{a}:fence")],
)
def test_no_names_key_is_anothers_line(one: str, two: str) -> None:
    for room, terms in (("lock", exclusive), ("rw", lambda key: Shares(key, 2))):
        ours, theirs = (terms(own_key("shop", name, room)) for name in (one, two))
        assert not set(ours.keys) & set(theirs.keys)


def test_a_bare_keys_line_is_nobody_elses() -> None:
    for name in ("1:job", "job", "x:1:job"):
        bare = exclusive(f"shop:{name}")
        own = exclusive(own_key("shop", name, "lock"))
        assert not set(bare.keys) & set(own.keys)
        assert bare.mailboxes != own.mailboxes


# -- I11 --------------------------------------------------------------------


def in_child(work: Callable[[], None]) -> None:
    """Do something in a forked child; fail if it does."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_that_wants_its_parents_lock_waits_for_it(place: Server) -> None:
    lock = Lock("job")
    order = []
    with lock:

        def work() -> None:
            assert not Lock("job").acquire(blocking_timeout=0.01)
            assert not lock.owned()
            for act in (lock.release, lambda: lock.extend(1)):
                with pytest.raises(LockError):
                    act()

        in_child(work)
        assert lock.owned()
        order.append("parent")
    with lock:
        order.append("again")
    assert order == ["parent", "again"]


def test_a_child_of_one_that_waits_is_not_in_line(place: Server) -> None:
    """The thread that waits was not forked, and its place is not the child's."""
    other = rival()
    assert other.acquire()
    got = threading.Event()

    def work() -> None:
        with Lock("job"):
            got.set()

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: waiting(place) == 1, "it is in line")
    in_child(lambda: _fails(Lock("job").acquire(blocking=False)))
    assert waiting(place) == 1
    other.release()
    thread.join()
    assert got.is_set()


def _fails(had: bool) -> None:
    assert not had


def test_a_childs_tokens_are_its_own(place: Server) -> None:
    theirs: set[bytes] = {new_token(None) for _ in range(3)}
    read, write = os.pipe()

    def work() -> None:
        os.write(write, b" ".join(new_token(None) for _ in range(3)))

    in_child(work)
    assert not theirs & set(os.read(read, 4096).split())
    os.close(read)
    os.close(write)


# -- I13 --------------------------------------------------------------------


def test_nobody_else_gives_it_back(place: Server) -> None:
    """Neither another thread, nor another object, nor one whose time is over."""
    late = rival(timeout=0.2)
    assert late.acquire()
    held = late.held
    assert held is not None
    with Lock("job") as mine:
        assert not held.valid
        for act in (late.release, held.release, held.reacquire):
            with pytest.raises(LockNotOwned):
                act()
        with pytest.raises(LockError):
            rival().release()
        assert mine.owned()
        assert mine.fence > held.fence


# -- I14 --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gone", "taken", "unreachable"])
def test_a_lost_lock_is_known_to_be_lost_by_its_deadline(
    cache_on: Any, cold_server: Any, how: str
) -> None:
    """With the server's word before it, and without it at the deadline itself."""
    server: Server = cold_server()
    cache_on(server)
    told: list[float] = []
    lock = Lock("job", lease=1.0, on_lost=lambda _: told.append(time.monotonic()))
    assert lock.acquire()
    held = lock.held
    assert held is not None
    if how == "gone":
        server.ask("DEL", lock.key)
    elif how == "taken":
        server.ask("SET", lock.key, "somebody else")
    else:
        server.pause()
    until = held.until
    assert held.lost.wait(30)
    assert not held.valid
    # Nobody renewed what was gone: its deadline is the one that it had.
    assert held.until <= until + (0 if how != "unreachable" else 1.0)
    if how == "unreachable":
        assert held.lost.reason == "its time is over"
    else:
        assert held.lost.reason == "somebody else has ended it"
    assert len(told) == 1
    with pytest.raises(LockLost):
        held.check()
    server.resume()
    with pytest.raises(LockNotOwned):
        lock.release()


def test_a_server_that_hangs_costs_no_lock_elsewhere(
    place: Server, cold_server: Callable[..., Server], cache_on: Any
) -> None:
    """What is left to undo there waits for an answer; renewals do not wait for it."""
    hung = cold_server()
    cache_on(hung, alias="elsewhere", DEADLINE=3.0)
    gone = Lock("gone", using="elsewhere")
    assert not gone.locked()
    with Lock("job", lease=0.8) as held:
        hung.pause()
        try:
            leases.undo(gone.alias.link, gone.terms.cancel(new_token(None)))
            time.sleep(2)
            assert held.remaining > 0
        finally:
            hung.resume()


def test_the_deadline_is_counted_from_before_the_request(
    cache_on: Any, cold_server: Any
) -> None:
    """An answer that comes late leaves less of the lease, never more."""
    from redpony.testing.chaos import Proxy

    server: Server = cold_server()
    with Proxy((server.host, server.port)) as proxy:
        cache_on(None, LOCATION=proxy.url, DEADLINE=5.0, CONNECT_TIMEOUT=5.0)
        lock = Lock("job", timeout=10)
        assert not lock.locked()
        with proxy.latency(500):
            asked = time.monotonic()
            assert lock.acquire()
        held = lock.held
        assert held is not None
        assert held.until <= asked + 10 + TICK
        assert server.ask("PTTL", lock.key) / 1000 >= held.remaining
        lock.release()


def test_the_server_never_counts_less_than_the_holder(place: Server) -> None:
    """It knows whole milliseconds: a part of one more is one more, or none for both."""
    with Lock("job", timeout=5) as warm:
        warm.extend(1)  # the server knows the scripts
    lock = Lock("job", timeout=5.0001)
    asked: list[str] = []
    with place.connect() as client, client.monitor() as monitor:
        with lock as held:
            lasts = [held.seconds]
            for seconds in (7.0001, 9.0009):
                before = time.monotonic()
                lock.extend(seconds, replace_ttl=True)
                lasts.append(held.until - before)
            before = time.monotonic()
            leases.renew(held.link, [held])
            lasts.append(held.until - before)
        place.ask("ECHO", "over")
        while "over" not in (said := monitor.next_command()["command"]):
            if said.startswith(("EVALSHA", "EVAL ")):
                asked.append(said)
    # A waiter's sign of life stands beside the lease, and is shorter.
    spans = [max(map(int, re.findall(r" (\d{4})\b", said))) for said in asked[:4]]
    assert spans[:2] == [5001, 7000]
    # The moments that it was counted from lie apart by some microseconds.
    for span, last in zip(spans, lasts, strict=True):
        assert span > last * 1000 - 0.5


def test_a_task_is_cancelled_by_the_deadline_of_its_lock(place: Server) -> None:
    async def main() -> float:
        with pytest.raises(LockLost):
            async with Lock("job", timeout=0.3) as held:
                await asyncio.sleep(60)
        return held.until

    until = asyncio.run(main())
    assert time.monotonic() >= until
