"""A lock on most of five servers, each of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.exceptions import RedisError

from redpony import Misconfigured
from redpony.errors import LockError, LockLost, LockNotOwned, Unavailable
from redpony.locks import Lock, QuorumLock
from redpony.locks.gate import Gate
from tests import servers
from tests.locks.both import InBoth
from tests.servers import Server

KEY = "redpony{:job}:lock"
FENCE = "redpony{:job}:lock-line:fence"
NAMES = ("one", "two", "three", "four", "five")


class Rival(QuorumLock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None  # type: ignore[assignment]


def until(condition: Callable[[], object], what: str = "it is so") -> None:
    servers.until(condition, what)


@pytest.fixture
def five(cache_on: Any, cold_server: Any) -> list[Server]:
    """Return five servers, each with an alias of its own."""
    found = [cold_server() for _ in NAMES]
    for name, server in zip(NAMES, found, strict=True):
        cache_on(server, alias=name, DEADLINE=2.0)
    return found


@pytest.fixture
def quorum(five: Any, colour: Any) -> Callable[..., Any]:
    """Return a function that makes a lock on all of them: `quorum(timeout=1)`."""
    del five
    return lambda name="job", **options: InBoth(
        QuorumLock(name, using=NAMES, **options), colour
    )


@pytest.fixture
def rival(five: Any, colour: Any) -> Callable[..., Any]:
    """Return a function that makes one of another process."""
    del five

    def make(name: str = "job", **options: Any) -> Any:
        made = Rival(name, using=NAMES, **options)
        made.gate = Gate()
        return InBoth(made, colour)

    return make


def holding(lock: Any) -> Any:
    """Return what the test's only task or thread holds."""
    (held,) = lock.target._held.values()
    return held


def tokens(some: list[Server]) -> list[bytes | None]:
    return [server.ask("GET", KEY) for server in some]


def left_over(some: list[Server]) -> set[bytes]:
    return {
        name
        for server in some
        for name in server.keys()  # noqa: SIM118 (no dict)
        if not name.endswith(b":fence")
    }


@contextmanager
def stopped(*some: Server) -> Iterator[None]:
    for server in some:
        server.pause()
    try:
        yield
    finally:
        for server in some:
            server.resume()


# -- One holder -------------------------------------------------------------


def test_one_has_it_on_all_servers_and_leaves_nothing(
    five: Any, quorum: Any, rival: Any
) -> None:
    with quorum() as held:
        assert tokens(five) == [held.token] * 5
        assert held.valid
        assert 25 < held.remaining < 30 * 0.99 - 0.002
        assert held.owned()
        assert not rival().acquire(blocking=False)
        assert not rival().acquire(blocking_timeout=0.1)
        assert tokens(five) == [held.token] * 5
    assert left_over(five) == set()
    assert rival().acquire(blocking=False)


def test_who_waits_has_it_when_it_is_given_back(quorum: Any, rival: Any) -> None:
    first = rival()
    assert first.acquire()
    (held,) = first.target._held.values()
    timer = threading.Timer(0.2, held.release)
    timer.start()
    with quorum(blocking_timeout=30) as held:
        assert held.valid
    timer.join()


def test_those_of_one_process_are_one_contender(five: Any) -> None:
    """While it is held by one, a hundred others ask no server anything."""

    async def scene() -> None:
        inside = 0

        async def work() -> None:
            nonlocal inside
            async with QuorumLock("job", using=NAMES) as held:
                inside += 1
                assert inside == 1
                fences.append(held.fence)
                await asyncio.sleep(0)
                inside -= 1

        fences: list[int] = []
        async with QuorumLock("job", using=NAMES):
            with five[0].counting() as counted:
                tasks = [asyncio.create_task(work()) for _ in range(100)]
                await asyncio.sleep(0.3)
            assert counted.commands == Counter()
        await asyncio.gather(*tasks)
        assert fences == sorted(fences)
        assert len(set(fences)) == 100

    asyncio.run(scene())


def test_an_ordinary_lock_on_one_of_the_servers_is_excluded(
    quorum: Any, colour: Any
) -> None:
    plain = InBoth(Lock("job", using="two"), colour)
    with quorum():
        assert not plain.acquire(blocking=False)
    with plain, quorum() as held:
        assert held.valid  # by the other four
    others = [InBoth(Lock("job", using=name), colour) for name in NAMES[:3]]
    for each in others:
        assert each.acquire(blocking=False)
    assert not quorum().acquire(blocking=False)
    for each in others:
        each.release()


def test_it_takes_two_flights_and_one(five: Any, quorum: Any) -> None:
    """The second is spared where a server's own fence is the largest already."""
    lock = quorum()
    five[0].ask("SET", FENCE, "9000000000000000")
    with lock:
        pass
    for flights in (2, 3):
        with five[1].counting() as counted, lock:
            pass
        assert counted.commands["evalsha"] == flights
        five[1].ask("SET", FENCE, "1")


# -- Servers that are gone --------------------------------------------------


def test_a_majority_is_enough(five: Any, quorum: Any, rival: Any) -> None:
    for server in five[:2]:
        server.kill()
    with quorum() as held:
        assert held.valid
        assert tokens(five[2:]) == [held.token] * 3
        assert not rival().acquire(blocking=False)
    assert left_over(five[2:]) == set()


def test_less_is_not(five: Any, quorum: Any) -> None:
    for server in five[:3]:
        server.kill()
    with pytest.raises(Unavailable, match="Of the 5 servers .* 2 answered"):
        quorum().acquire()
    assert left_over(five[3:]) == set()


@pytest.mark.parametrize("warm", [False, True])
def test_a_server_that_hangs_delays_nobody_for_long(
    five: Any, quorum: Any, warm: bool
) -> None:
    """Two flights, and two of the time that servers have: no more than 1 s each."""
    lock = quorum(lease=10)
    if warm:
        with lock:
            pass
    with stopped(*five[:2]):
        began = time.monotonic()
        with lock as held:
            taken = time.monotonic() - began
            assert held.valid
        gone = time.monotonic() - began - taken
        assert lock.target.terms.patience == 1
        assert taken < 2 * 1 + 1
        assert gone < 1 + 1


def test_what_a_server_did_after_it_had_hung_is_undone(five: Any, quorum: Any) -> None:
    lock = quorum(lease=300)
    with lock:
        pass
    with stopped(*five[:2]), lock:
        pass
    until(lambda: not left_over(five), "nothing is left")


# -- Holding ----------------------------------------------------------------


def test_a_server_that_forgets_is_no_loss(five: Any, quorum: Any, rival: Any) -> None:
    """Nor are two; though now one more that forgets would let another one in."""
    with quorum(lease=1) as held:
        for server in five[:2]:
            server.restart()
        until(lambda: sum(share.is_lost for share in held.target.shares) == 2)
        assert held.valid
        assert not held.lost
        assert not rival(blocking_timeout=0.1).acquire()
        held.check()


def test_it_is_lost_when_a_majority_forgets(five: Any, quorum: Any) -> None:
    told: list[Any] = []
    lock = quorum(lease=1, on_lost=told.append)
    assert lock.acquire()
    held = holding(lock)
    for server in five[:3]:
        server.flush()
    assert held.lost.wait(10)
    assert not held.valid
    with pytest.raises(LockLost, match="only 2 of 5 servers have it"):
        held.check()
    until(lambda: told == [held], "it was told")
    with pytest.raises(LockNotOwned):
        lock.release()
    assert left_over(five) == set()


def test_it_is_lost_when_a_majority_dies(five: Any, quorum: Any) -> None:
    lock = quorum(lease=1)
    assert lock.acquire()
    held = holding(lock)
    for server in five[:3]:
        server.kill()
    assert held.lost.wait(10)
    assert held.remaining == 0
    with pytest.raises(LockNotOwned):
        lock.release()
    assert left_over(five[3:]) == set()


def test_the_body_of_an_async_with_is_cancelled(five: Any) -> None:
    async def scene() -> None:
        async with QuorumLock("job", using=NAMES, lease=1):
            for server in five[:3]:
                server.flush()
            await asyncio.sleep(20)

    with pytest.raises(LockLost):
        asyncio.run(scene())


def test_it_is_renewed(five: Any, quorum: Any, rival: Any) -> None:
    with quorum(lease=1) as held:
        begun = held.target.until
        until(lambda: held.target.until > begun + 1.5, "it was renewed twice")
        assert held.valid
        assert tokens(five) == [held.token] * 5
        assert not rival().acquire(blocking=False)


def test_it_is_renewed_while_two_servers_hang(five: Any, quorum: Any) -> None:
    with quorum(lease=3) as held:
        begun = held.target.until
        with stopped(*five[:2]):
            until(lambda: held.target.until > begun + 4, "it was renewed twice")
            assert held.valid


def test_a_hard_lease_ends(five: Any, quorum: Any, rival: Any) -> None:
    lock = quorum(timeout=0.5)
    assert lock.acquire()
    assert 0 < holding(lock).remaining < 0.5
    assert holding(lock).lost.wait(10)
    assert rival(blocking_timeout=5).acquire()
    with pytest.raises(LockNotOwned):
        lock.release()
    assert None not in tokens(five)


def test_it_is_extended(five: Any, quorum: Any) -> None:
    lock = quorum(timeout=9)
    assert lock.acquire()
    held = holding(lock)
    assert lock.extend(20)
    assert 20 < held.remaining < 29
    assert all(server.ask("PTTL", KEY) > 20_000 for server in five)
    for server in five[:2]:
        server.kill()
    assert lock.extend(40, replace_ttl=True)
    assert 35 < held.remaining < 40
    five[2].flush()
    with pytest.raises(Unavailable, match="extended on 2 of 5 servers"):
        lock.extend(10)
    assert 25 < held.remaining < 40


def test_what_is_lost_is_not_extended(five: Any, quorum: Any) -> None:
    lock = quorum(timeout=30)
    assert lock.acquire()
    for server in five[:3]:
        server.flush()
    with pytest.raises(LockLost, match="only 2 of 5"):
        lock.extend(10)
    with pytest.raises(LockError, match="is renewed until"), quorum("b") as held:
        held.extend(1)


def test_only_who_has_it_gives_it_back(five: Any, quorum: Any) -> None:
    lock = quorum()
    with pytest.raises(LockError, match="has not taken it"):
        lock.release()
    assert lock.acquire()
    for server in five[:3]:
        server.ask("SET", KEY, "somebody else")
    with pytest.raises(LockNotOwned):
        lock.release()
    assert tokens(five) == [b"somebody else"] * 3 + [None] * 2


def test_whether_it_could_be_given_back_is_said(five: Any, quorum: Any) -> None:
    lock = quorum()
    assert lock.acquire()
    for server in five[:3]:
        server.kill()
    with pytest.raises(Unavailable, match="was given back on 2 of 5 servers"):
        lock.release()


def test_what_is_asked_is_answered_by_a_majority(five: Any, quorum: Any) -> None:
    lock = quorum()
    assert not lock.locked()
    assert not lock.owned()
    assert lock.acquire()
    for server in five[:2]:
        server.flush()
    assert lock.locked()
    assert lock.owned()
    five[2].flush()
    assert not lock.locked()
    assert not lock.owned()


# -- Fences -----------------------------------------------------------------


def test_fences_grow_over_changing_majorities(five: Any, quorum: Any) -> None:
    """One server's clock is far ahead, and it takes part only in the first holding."""
    ahead = 8_000_000_000_000_000
    for number, server in enumerate(five):
        server.ask("SET", FENCE, str(number + 1), "PX", 5_000_000)
    five[0].ask("SET", FENCE, str(ahead))
    for server in five[3:]:
        server.kill()
    with quorum() as held:
        first = held.fence
    assert first == ahead + 1
    assert 4_900_000 < five[1].ask("PTTL", FENCE) <= 86_400_000
    five[0].kill()
    for server in five[3:]:
        server.restart()
    with quorum() as held:
        second = held.fence
    assert second > first
    five[1].kill()
    five[0].restart()
    with quorum() as held:
        assert held.fence > second


def test_fences_grow_over_restarts(five: Any, quorum: Any) -> None:
    last = 0
    for server in five:
        server.restart()
        with quorum() as held:
            assert held.fence > last
            last = held.fence


def test_a_fence_is_raised_only_by_who_has_the_lock(five: Any, colour: Any) -> None:
    from redpony.alias import alias_for
    from redpony.conf import alias_config
    from redpony.locks.majority import raising
    from redpony.locks.terms import exclusive

    server, fence = five[0], FENCE
    alias = alias_for(alias_config("one"))
    server.ask("SET", KEY, "me")
    server.ask("SET", fence, "7", "PX", "50000")
    terms = exclusive(KEY)
    assert alias.ask(raising(b"you", 9)(terms)) == 0
    assert server.ask("GET", fence) == b"7"
    assert alias.ask(raising(b"me", 9)(terms)) == 1
    assert server.ask("GET", fence) == b"9"
    assert 40_000 < server.ask("PTTL", fence) <= 50_000
    assert alias.ask(raising(b"me", 8)(terms)) == 1
    assert server.ask("GET", fence) == b"9"
    server.ask("DEL", fence)
    assert alias.ask(raising(b"me", 8)(terms)) == 1
    assert server.ask("GET", fence) == b"8"
    assert server.ask("PTTL", fence) > 80_000_000


# -- Cancellation -----------------------------------------------------------


def test_one_who_is_cancelled_leaves_nothing(five: Any) -> None:
    """Cancelled at each step of the loop, from the beginning to the end."""

    async def once(lock: QuorumLock) -> None:
        await lock.aacquire()
        await lock.arelease()

    async def scene() -> int:
        async with QuorumLock("warm", using=NAMES):
            pass
        steps = 0
        while True:
            task = asyncio.create_task(
                once(QuorumLock(f"job{steps}", using=NAMES, lease=300))
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                return steps
            steps += 1

    assert asyncio.run(scene()) > 5
    until(lambda: not left_over(five), "nothing is left")


# -- All at once ------------------------------------------------------------


def test_no_two_have_it_whatever_the_servers_do(five: Any) -> None:
    """Rivals in threads and tasks; two servers at once are killed or hang at random.

    Who was killed stays away for longer than a lease, as the docs demand.
    """
    rng = random.Random(os.urandom(8))
    ends = time.monotonic() + 10
    lease = 1.0
    held_by: list[tuple[float, float, int]] = []

    def make() -> Rival:
        lock = Rival("job", using=NAMES, lease=lease, blocking_timeout=2)
        lock.gate = Gate()
        return lock

    def sure(held: Any, since: float) -> None:
        now = time.monotonic()
        if held.until > now and held.valid:
            held_by.append((since, now, held.fence))

    def in_thread() -> None:
        while time.monotonic() < ends:
            with contextlib.suppress(RedisError), make() as held:
                since = time.monotonic()
                time.sleep(rng.choice([0, 0.01, 0.05, 1.5]))
                sure(held, since)

    async def once() -> None:
        async with make() as held:
            since = time.monotonic()
            await asyncio.sleep(rng.choice([0, 0.01, 0.05, 1.5]))
            sure(held, since)

    async def in_task() -> None:
        while time.monotonic() < ends:
            with contextlib.suppress(RedisError, TimeoutError):
                await asyncio.wait_for(once(), rng.uniform(0.001, 3))

    async def tasks() -> None:
        await asyncio.gather(in_task(), in_task())

    def hurt(some: list[Server]) -> None:
        while time.monotonic() < ends:
            server = rng.choice(some)
            if rng.random() < 0.5:
                server.pause()
                time.sleep(rng.uniform(0, 2))
                server.resume()
            else:
                server.kill()
                time.sleep(lease * 1.5)
                server.start()

    work = [threading.Thread(target=in_thread) for _ in range(2)]
    work.append(threading.Thread(target=lambda: asyncio.run(tasks())))
    work += [
        threading.Thread(target=hurt, args=(each,)) for each in (five[:2], five[2:])
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()

    held_by.sort()
    assert len(held_by) > 3
    for (_, left, fence), (entered, _, later) in itertools.pairwise(held_by):
        assert left <= entered, "two had it"
        assert fence < later, "fences are in order"
    until(lambda: not left_over(five), "nothing is left")


# -- Settings ---------------------------------------------------------------


def test_bad_settings_are_refused(five: Any, cache_on: Any) -> None:
    cache_on(five[0], alias="again", KEY_PREFIX="another")
    with pytest.raises(ValueError, match="needs 3 servers or more, not 2"):
        QuorumLock("job", using=["one", "two"])
    with pytest.raises(ValueError, match='"one" and "again" .* on the same server'):
        QuorumLock("job", using=["one", "two", "again"])
    with pytest.raises(ValueError, match='"one" and "one" .* on the same server'):
        QuorumLock("job", using=["one", "one", "two"])
    with pytest.raises(Misconfigured, match='there is no alias "thre"'):
        QuorumLock("job", using=["one", "two", "thre"])
    with pytest.raises(TypeError, match="is a list of aliases"):
        QuorumLock("job", using="one")
    with pytest.raises(ValueError, match="makes its own tokens"):
        QuorumLock("job", using=NAMES).acquire(token="mine")


@pytest.mark.parametrize("count", [3, 4])
def test_other_numbers_of_servers(five: Any, colour: Any, count: int) -> None:
    lock = InBoth(QuorumLock("job", using=NAMES[:count]), colour)
    five[0].kill()
    with lock as held:
        assert held.valid
    five[1].kill()
    with pytest.raises(Unavailable):
        lock.acquire()
