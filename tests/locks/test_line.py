"""First come, first served: in a process, over processes, and in both colours."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from redpony.locks import Lock, LockError
from redpony.locks.gate import Gate, gate_for
from tests import servers
from tests.servers import Server


class Rival(Lock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None  # type: ignore[assignment]


def until(condition: Callable[[], object]) -> None:
    servers.until(condition, "the line is as it should be")
    # Who comes next comes later, by more than a slow round trip.
    time.sleep(0.2)


def rival(name: str = "job", **options: Any) -> Rival:
    made = Rival(name, **options)
    made.gate = Gate()
    return made


def waiting(server: Server, name: str = "job") -> int:
    """Return how many stand in the server's line."""
    return int(server.ask("ZCARD", f"redpony{{:{name}}}:lock-line:queue"))


@pytest.fixture
def place(cache_on: Any, valkey: Server) -> Server:
    valkey.flush()
    cache_on(valkey)
    return valkey


def in_thread(lock: Lock, order: list[Any], who: Any, hold: float = 0) -> Any:
    def work() -> None:
        with lock as held:
            order.append((who, held.fence))
            time.sleep(hold)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_strangers_are_served_in_the_order_in_which_they_came(place: Server) -> None:
    order: list[Any] = []
    with Lock("job"):
        threads = []
        for number in range(5):
            threads.append(in_thread(rival(), order, number))
            until(lambda number=number: waiting(place) == number + 1)
    for thread in threads:
        thread.join()
    assert [who for who, _ in order] == [0, 1, 2, 3, 4]
    assert [fence for _, fence in order] == sorted(fence for _, fence in order)


def test_threads_and_tasks_and_strangers_are_equals(place: Server) -> None:
    """Whoever came first is first, though only one of this process is in line."""
    order: list[Any] = []
    line = gate_for(Lock("job").alias.link, Lock("job").key)

    async def task(who: str) -> None:
        async with Lock("job") as held:
            order.append((who, held.fence))

    async def tasks(ready: threading.Event, go: threading.Event) -> None:
        mine = [asyncio.create_task(task("task 1"))]
        await asyncio.sleep(0)
        ready.set()
        while not go.is_set():  # noqa: ASYNC110 (a thread sets it)
            await asyncio.sleep(0.001)
        mine.append(asyncio.create_task(task("task 2")))
        await asyncio.gather(*mine)

    ready, go = threading.Event(), threading.Event()
    threads = []
    with Lock("job"):
        threads.append(in_thread(Lock("job"), order, "thread 1"))
        until(lambda: len(line) == 1)
        threads.append(in_thread(rival(), order, "stranger 1"))
        until(lambda: waiting(place) == 1)
        loop = threading.Thread(target=asyncio.run, args=(tasks(ready, go),))
        loop.start()
        threads.append(loop)
        until(lambda: len(line) == 2)
        threads.append(in_thread(rival(), order, "stranger 2"))
        until(lambda: waiting(place) == 2)
        go.set()
        until(lambda: len(line) == 3)
    for thread in threads:
        thread.join()
    assert [who for who, _ in order] == [
        "thread 1",
        "stranger 1",
        "task 1",
        "stranger 2",
        "task 2",
    ]
    assert [fence for _, fence in order] == sorted(fence for _, fence in order)


def test_a_thousand_tasks_cost_the_server_one(place: Server) -> None:
    async def main() -> Counter[str]:
        inside = 0
        most = 0

        async def work() -> None:
            nonlocal inside, most
            async with Lock("job"):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        other = rival()
        await other.aacquire()
        tasks = [asyncio.create_task(work()) for _ in range(1000)]
        await asyncio.to_thread(until, lambda: waiting(place) == 1)
        with place.counting() as counted:
            await asyncio.sleep(2)
        assert waiting(place) == 1
        await other.arelease()
        await asyncio.gather(*tasks)
        assert most == 1
        return Counter(counted.commands)

    commands = asyncio.run(main())
    # A sign of life and a wait each second.
    assert commands["evalsha"] <= 3
    assert commands["blpop"] <= 3


def test_nobody_asks_while_somebody_here_has_it(place: Server) -> None:
    order: list[Any] = []
    with Lock("job"):
        threads = [in_thread(Lock("job"), order, number) for number in range(20)]
        line = gate_for(Lock("job").alias.link, Lock("job").key)
        until(lambda: len(line) == 20)
        with place.counting() as counted:
            time.sleep(1.5)
        assert counted.commands.get("evalsha", 0) <= 1  # the lease, at most
        assert not counted.commands.get("blpop")
    for thread in threads:
        thread.join()
    assert sorted(who for who, _ in order) == list(range(20))


def test_a_free_lock_takes_two_round_trips(place: Server) -> None:
    lock = Lock("job")
    with lock:
        pass
    with place.counting() as counted:
        for _ in range(10):
            with lock:
                pass
    assert counted.commands["evalsha"] == 20
    assert set(counted.commands) <= {
        "evalsha", "get", "exists", "set", "time", "zrange", "del",
    }  # fmt: skip


def test_a_hand_over_is_one_command(place: Server) -> None:
    """Who is in line has been waiting already: the release is all that is sent."""
    order: list[Any] = []
    holder = rival()
    assert holder.acquire()
    threads = []
    for number in range(4):
        threads.append(in_thread(rival(), order, number))
        until(lambda number=number: waiting(place) == number + 1)
    with place.counting() as counted:
        holder.release()
        for thread in threads:
            thread.join()
    assert len(order) == 4
    # A release each; and once a second each one's sign of life, if it was due.
    assert 5 <= counted.commands["evalsha"] <= 5 + 4
    assert counted.commands.get("blpop", 0) <= 4


def test_who_gives_up_leaves_the_line(place: Server) -> None:
    with Lock("job"):
        other = rival()
        assert not other.acquire(blocking_timeout=0.05)
        assert waiting(place) == 0
        assert not Lock("job").acquire(blocking_timeout=0.05)
    with other:
        pass


@pytest.mark.parametrize("mine", [True, False], ids=["here", "elsewhere"])
def test_a_task_that_is_cancelled_leaves_the_line(place: Server, mine: bool) -> None:
    async def main() -> None:
        holder = Lock("job") if mine else rival()
        async with holder:
            tasks = [asyncio.create_task(Lock("job").aacquire()) for _ in range(5)]
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)
            await asyncio.to_thread(until, lambda: waiting(place) == 0)
        other = rival(blocking_timeout=5)
        assert await other.aacquire()
        await other.arelease()

    asyncio.run(main())


def test_a_task_may_be_cancelled_at_any_of_its_steps(place: Server) -> None:
    """Wherever it is, the lock can be had again at once, and no key is left."""

    async def use(lock: Lock) -> None:
        async with lock:
            await asyncio.sleep(0.002)

    async def main() -> int:
        steps = 0
        for delay in range(60):
            holder = rival()
            task = asyncio.create_task(use(Lock("job")))
            if delay % 2:
                await holder.aacquire()
            for _ in range(delay // 2):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                steps += 1
            if delay % 2:
                await holder.arelease()
            assert await holder.aacquire(blocking_timeout=1), delay
            await holder.arelease()
        return steps

    assert asyncio.run(main()) > 10
    time.sleep(3.5)  # the last errand has been run
    left = [key for key in list(place.keys()) if not key.endswith(b":fence")]
    assert left == []


def test_a_forked_child_has_no_lock_of_its_parent(place: Server) -> None:
    lock = Lock("job")
    with lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert lock.held is None or not lock.held.valid
                assert not Lock("job").acquire(blocking=False)
                try:
                    lock.release()
                except LockError:
                    code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert lock.owned()


def test_a_lock_that_was_forgotten_is_renewed_no_more(place: Server) -> None:
    assert Lock("job", lease=0.3).acquire()
    other = rival()
    assert other.acquire(blocking_timeout=5)
    other.release()
