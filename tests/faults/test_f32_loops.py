"""F32: event loops come and go, many at once, some without a farewell."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import warnings
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from tests.faults.slots import connections, left_in_use, nodes_of
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

POOL = 5
PATIENT = {"DEADLINE": 30, "CONNECT_TIMEOUT": 30, "POOL_SIZE": POOL}

_numbers = itertools.count()


class Loops:
    """A cache that is asked from many loops, each answer compared."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.link = cache.alias.link
        self.checked = self.wrong = 0
        self.complaints: list[str] = []

    async def once(self) -> None:
        number = next(_numbers)
        key = f"key:{number}"
        await self.cache.aset(key, [number], None)
        got = await self.cache.aget(key)
        self.checked += 1
        self.wrong += got != [number]
        assert got == [number]
        # What is sent again in another loop would count twice.
        await self.cache.aincr("all", ignore_key_check=True)

    @property
    def registries(self) -> list[Any]:
        return [node.awaiting.loops for node in nodes_of(self.link)]

    @property
    def opened(self) -> int:
        """Return how many of asyncio's connections there are."""
        return sum(each.places.taken for each in self.registries)


@pytest.fixture
def loops(place, record):
    made = Loops(place.cache(**PATIENT))
    yield made
    slots = left_in_use(made.link)
    record(operations=2 * made.checked, wrong=made.wrong, duplicates=0, slots=slots)
    assert slots == 0
    place.handle.settled()
    assert made.cache.get("all", 0) == made.checked
    made.link.close()
    assert connections(made.link) == 0
    until(lambda: not place.handle.users(), "no connection is left")


def of_asyncio(loops: Loops) -> None:
    asyncio.run(loops.once())


def of_asgiref(loops: Loops) -> None:
    async_to_sync(loops.once)()


@pytest.mark.parametrize("run", [of_asyncio, of_asgiref])
def test_a_loop_for_every_call_leaves_no_connection(loops, run):
    """As `async_to_sync` does, and test runners."""
    for _ in range(100):
        run(loops)
        assert loops.opened == 0


@pytest.mark.parametrize("forgotten", [False, True], ids=["kept", "forgotten"])
def test_loops_that_are_closed_without_a_farewell_are_swept(loops, forgotten):
    """As by those who close a loop, and do not shut its generators down."""
    kept = []
    with warnings.catch_warnings():
        # Asyncio says so of transports whose loop was closed under them.
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(40):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(loops.once())
            loop.close()
            if not forgotten:
                kept.append(loop)
            del loop
            assert max(each.places.taken for each in loops.registries) <= POOL
        # Whoever comes next is not handed another loop's connection.
        asyncio.run(loops.once())
        loops.link.close()
        gc.collect()
    assert loops.opened == 0


def test_loops_that_end_with_work_in_flight(loops, place):
    """A server that hangs: what was sent is answered to nobody."""

    async def leave() -> None:
        await loops.once()
        place.pause()
        tasks = [asyncio.ensure_future(loops.cache.aget(f"k{n}")) for n in range(50)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)
        # The loop's end cancels them.

    for _ in range(5):
        asyncio.run(leave())
        place.resume()
        assert loops.opened == 0
        asyncio.run(loops.once())


def test_two_loops_in_turn_have_connections_of_their_own(loops):
    first, second = asyncio.Runner(), asyncio.Runner()
    with first, second:
        for _ in range(50):
            first.run(loops.once())
            second.run(loops.once())
        for node in nodes_of(loops.link):
            assert node.awaiting.loops.places.taken in (0, 1, 2)
    assert loops.opened == 0


def test_many_loops_at_once(loops):
    """Twenty threads, each with a loop of its own for a while."""
    raised: list[BaseException] = []

    async def work() -> None:
        await asyncio.gather(*(loops.once() for _ in range(20)))

    def thread() -> None:
        try:
            for _ in range(5):
                asyncio.run(work())
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=thread) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert raised == []
    assert loops.opened == 0
    # The counters of twenty threads may have lost some turns; the server has not.
    loops.checked = loops.cache.get("all")
    assert loops.checked == 20 * 5 * 20


def test_a_loop_beside_blocking_calls_in_its_threads(loops):
    """As Django's asynchronous views call what is not."""

    def block() -> None:
        number = next(_numbers)
        loops.cache.set(f"sync:{number}", number, None)
        assert loops.cache.get(f"sync:{number}") == number

    async def work() -> None:
        for _ in range(20):
            await asyncio.gather(
                *(loops.once() for _ in range(5)),
                *(sync_to_async(block, thread_sensitive=False)() for _ in range(3)),
            )

    asyncio.run(work())
    assert loops.opened == 0


def test_a_loop_within_a_loops_thread(loops):
    """`async_to_sync` below `sync_to_async`, as in a view below middleware."""

    async def work() -> None:
        for _ in range(20):
            await loops.once()
            await sync_to_async(async_to_sync(loops.once))()
            await sync_to_async(asyncio.run, thread_sensitive=False)(loops.once())

    asyncio.run(work())
    assert loops.opened == 0


def test_connections_that_were_killed_between_loops(loops, place):
    for _ in range(10):
        with asyncio.Runner() as runner:
            runner.run(loops.once())
            place.drop_clients()
            until(lambda: not place.handle.users(), "the connections are closed")
            runner.run(loops.once())
        assert loops.opened == 0


def test_other_loops_of_other_makers_are_loops_too(loops):
    """One that is slow to run what it is told, as a busy application is."""

    class Slow(asyncio.SelectorEventLoop):
        def call_soon(self, *args: Any, **kwargs: Any) -> Any:
            return super().call_soon(*args, **kwargs)

        def _run_once(self) -> None:
            super()._run_once()
            threading.Event().wait(0.001)

    with asyncio.Runner(loop_factory=Slow) as runner:
        for _ in range(20):
            runner.run(loops.once())
    assert loops.opened == 0
