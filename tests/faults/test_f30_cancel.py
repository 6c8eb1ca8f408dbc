"""F30: asyncio's operations are cancelled at any of their steps."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
from typing import Any

import pytest

from redpony.cache import RedisCache
from redpony.errors import RedponyError
from tests.cache.test_unavailable import BY_ARGUMENTS, CALLS, COUNTED
from tests.faults.slots import connections, left_in_use
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

PATIENT = {"DEADLINE": 30, "CONNECT_TIMEOUT": 30}
STEPS = 8
"""Turns of the loop within which a warm operation is certainly under way."""

NO_COROUTINES = {"aclose", "aget_client", "alock"}
"""What touches no server, and redis-py's own."""


def collected(iterator: Any) -> Any:
    async def collect() -> list[Any]:
        return [each async for each in iterator]

    return collect()


async def made() -> str:
    await asyncio.sleep(0)
    return "made"


OPERATIONS: dict[str, Any] = {
    **{
        f"a{name}{tail}": (
            lambda cache, name=name, args=args: getattr(cache, f"a{name}")(*args)
        )
        for tail, rows in (("", CALLS), (" counted", COUNTED), (" more", BY_ARGUMENTS))
        for name, (args, _) in rows.items()
    },
    "aget_or_set awaited": lambda cache: cache.aget_or_set("awaited", made),
    "aset_many large": lambda cache: cache.aset_many(
        {f"k{n}": "x" * 10_000 for n in range(40)}
    ),
    "aiter_keys": lambda cache: collected(cache.aiter_keys("*")),
    "asscan_iter": lambda cache: collected(cache.asscan_iter("set")),
}


class Cancels:
    """Cancels operations of one cache, and checks the next answers."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.complaints: list[str] = []
        self.cancelled = self.checked = self.wrong = 0
        self._numbers = itertools.count(1)

    def run(self, work: Any) -> None:
        """Run a coroutine in a loop of its own, and hear what the loop says."""
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(
                lambda _, context: self.complaints.append(str(context))
            )
            runner.run(work)

    async def after(self, steps: int, operation: Any) -> bool:
        """Cancel an operation after so many steps; return whether that hit it."""
        task = asyncio.ensure_future(operation)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        (met,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(met, asyncio.CancelledError):
            self.cancelled += 1
            return True
        if isinstance(met, BaseException) and not isinstance(
            met, (RedponyError, ValueError)
        ):
            raise met
        return False

    async def check(self) -> None:
        """Ask what nobody else can have asked, twice."""
        number = next(self._numbers)
        await self.cache.aset("probe", [number], None)
        got = await self.cache.aget("probe")
        many = await self.cache.aget_many(["probe", "nothing"])
        self.checked += 2
        self.wrong += (got != [number]) + (many != {"probe": [number]})
        assert (got, many) == ([number], {"probe": [number]})


@pytest.fixture
def cancels(place, record):
    """Return `Cancels`, and check what every cancellation must leave true."""
    made: list[Cancels] = []

    def make(**options: Any) -> Cancels:
        made.append(Cancels(place.cache(**{**PATIENT, **options})))
        return made[-1]

    yield make
    # A task that was destroyed while it waited would be told of now.
    gc.collect()
    for each in made:
        link = each.cache.alias.link
        slots = left_in_use(link)
        record(
            operations=each.cancelled + each.checked,
            wrong=each.wrong,
            slots=slots,
            duplicates=0,
            cancelled=each.cancelled,
        )
        assert each.complaints == []
        assert slots == 0
        until(
            lambda link=link: not connections(link) or link.close(),
            "every loop's connections are closed",
        )


def test_every_coroutine_of_the_cache_is_cancelled_here():
    public = {
        name
        for name in dir(RedisCache)
        if name.startswith("a")
        and hasattr(RedisCache, name[1:])
        and callable(getattr(RedisCache, name))
    }
    assert public - NO_COROUTINES == {name.partition(" ")[0] for name in OPERATIONS}


def test_cancelled_after_each_step(cancels, place):
    """On connections that are open: `STEPS` turns of the loop, one more each time."""
    run = cancels()

    async def work() -> None:
        for operation in OPERATIONS.values():
            for steps in range(STEPS):
                await run.after(steps, operation(run.cache))
                await run.check()

    with place.handle.counting() as counted:
        run.run(work())
    assert run.cancelled > len(OPERATIONS)
    # Nobody's connection was lost with whom it served: one a server and lane.
    assert counted.connections <= 2 * len(place.servers)


COLD = ("aget", "aset", "aget_many", "aset_many large", "aincr", "aclear", "akeys")


@pytest.mark.parametrize("name", COLD)
def test_cancelled_after_each_step_of_connecting(cancels, name):
    """From the first step of a new loop, until it can be cancelled no more."""
    run = cancels()
    hit = True
    steps = 0
    while hit and steps < 300:

        async def work(steps: int = steps) -> None:
            nonlocal hit
            hit = await run.after(steps, OPERATIONS[name](run.cache))
            await run.check()

        run.run(work())
        steps += 1 + steps // 10
    assert run.cancelled > 3


def test_a_change_that_is_cancelled_happens_once_or_not_at_all(cancels):
    run = cancels()
    answered = 0

    async def work() -> None:
        nonlocal answered
        await run.cache.aset("n", 0, None)
        for turn in range(300):
            hit = await run.after(turn % STEPS, run.cache.aincr("n"))
            answered += not hit
            found = await run.cache.aget("n")
            assert answered <= found <= answered + run.cancelled
            await run.cache.arpush("list", turn)

    run.run(work())
    assert run.cache.lrange("list", 0, -1) == list(range(300))


def test_a_factory_that_is_cancelled_leaves_nothing_behind(cancels):
    run = cancels()
    entered = ended = 0
    inside = asyncio.Event()

    async def slow() -> str:
        nonlocal entered, ended
        entered += 1
        inside.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended += 1
        return "made"

    async def work() -> None:
        for _ in range(20):
            task = asyncio.ensure_future(run.cache.aget_or_set("slow", slow))
            await inside.wait()
            inside.clear()
            # No slot is held while the user's own code runs.
            await run.check()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await run.cache.aget("slow") is None

    run.run(work())
    assert entered == ended == 20


def test_time_limits_of_random_length(cancels):
    run = cancels()
    rng = random.Random(1)

    async def limited() -> None:
        try:
            async with asyncio.timeout(rng.uniform(0, 0.003)):
                while True:
                    await run.check_own(rng)
        except TimeoutError:
            run.cancelled += 1

    async def work() -> None:
        for _ in range(20):
            await asyncio.gather(*(limited() for _ in range(20)))
            await run.check()

    run.check_own = own_keys(run)  # type: ignore[attr-defined]
    run.run(work())
    assert run.cancelled >= 400


def own_keys(run: Cancels) -> Any:
    """Return an operation on keys that no other task has."""
    numbers = itertools.count()

    async def check(rng: random.Random) -> None:
        mine = f"own:{next(numbers)}"
        await run.cache.aset(mine, mine, None)
        got = await run.cache.aget(mine)
        run.checked += 1
        run.wrong += got != mine
        assert got == mine

    return check


def test_siblings_in_a_group_of_which_one_fails(cancels):
    run = cancels()
    check = own_keys(run)
    rng = random.Random(2)

    class Stop(Exception):
        pass

    async def fails(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise Stop

    async def work() -> None:
        for turns in range(60):
            with contextlib.suppress(BaseExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(check(rng)) for _ in range(20)]
                    group.create_task(fails(turns % 15))
            run.cancelled += sum(task.cancelled() for task in tasks)
            for task in tasks:
                if not task.cancelled() and task.exception() is not None:
                    raise task.exception()
            await run.check()

    run.run(work())
    assert run.cancelled > 100


def test_cancelled_twice(cancels):
    run = cancels()

    async def work() -> None:
        for turn in range(200):
            task = asyncio.ensure_future(run.cache.aget_many(["a", "b"]))
            for _ in range(turn % STEPS):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            (met,) = await asyncio.gather(task, return_exceptions=True)
            run.cancelled += isinstance(met, asyncio.CancelledError)
            await run.check()

    run.run(work())
    assert run.cancelled > 20


def test_cancelled_while_the_server_hangs(cancels, place):
    """What was sent is answered when it goes on: to nobody, and in step."""
    run = cancels()

    async def work() -> None:
        for _ in range(5):
            await run.check()
            place.pause()
            tasks = [
                asyncio.ensure_future(operation(run.cache))
                for operation in list(OPERATIONS.values())[:30]
            ]
            for _ in range(20):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            run.cancelled += sum(task.cancelled() for task in tasks)
            place.resume()
            await run.check()

    with place.handle.counting() as counted:
        run.run(work())
    assert run.cancelled >= 100
    if place.topology == "single":
        # Who watches several servers asks the ones that hang on other connections.
        assert counted.connections <= 2


def test_cancelled_while_connections_are_killed(cancels, place):
    run = cancels()
    rng = random.Random(3)
    check = own_keys(run)

    async def stubborn() -> None:
        with contextlib.suppress(RedponyError):
            await check(rng)

    async def work() -> None:
        for turn in range(30):
            tasks = [asyncio.ensure_future(stubborn()) for _ in range(20)]
            await asyncio.sleep(0)
            killing = asyncio.to_thread(place.drop_clients)
            for _ in range(turn % 15):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, killing, return_exceptions=True)
            run.cancelled += sum(task.cancelled() for task in tasks)
            for task in tasks:
                if not task.cancelled() and task.exception() is not None:
                    raise task.exception()
            with contextlib.suppress(RedponyError):
                await run.check()

    run.run(work())
    assert run.cancelled > 20
