"""Cancelled at every await: nothing is left on the server, and the lock can be had.

An operation is run again and again, cancelled at its first suspension, at its second
and so on, until it comes to its end: once before what it waits for has happened, and
once when that has just happened. No step is left out, and none is a matter of time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import nullcontext
from typing import Any, Self

import pytest

from redpony import events, leases
from redpony.locks import Lock, LockError, ReadWriteLock, Semaphore, tokens
from redpony.locks.gate import Gate, gate_for
from tests.plans.recorder import Recorder
from tests.servers import Server, until

Operation = Callable[[], Coroutine[Any, Any, Any]]


class Cancelled:
    """Awaits a coroutine in a task, and cancels the task at its n-th suspension."""

    def __init__(
        self, operation: Coroutine[Any, Any, Any], step: int, when: str
    ) -> None:
        self.operation = operation
        self.step = step
        self.when = when
        self.steps = 0

    async def run(self) -> bool:
        """Return whether it was cancelled, rather than done before."""
        self.task = asyncio.create_task(self._follow())
        await asyncio.wait([self.task])
        if self.task.cancelled():
            return True
        self.task.result()
        return self.steps > self.step

    async def _follow(self) -> Any:
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self.operation.__await__()
        sent: Any = None
        error: BaseException | None = None
        while True:
            try:
                future = inner.send(sent) if error is None else inner.throw(error)
            except StopIteration as stop:
                return stop.value
            sent = error = None
            if self.steps == self.step:
                self._strike(future)
            self.steps += 1
            try:
                sent = yield future
            except BaseException as met:
                error = met

    def _strike(self, future: Any) -> None:
        if self.when == "before" or future is None:
            asyncio.get_running_loop().call_soon(self.task.cancel)
        else:
            # Before the task itself is told, which has not asked to be yet.
            future.add_done_callback(lambda _: self.task.cancel())


@pytest.fixture
def place(cache_on: Any, valkey: Server) -> Server:
    valkey.flush()
    cache_on(valkey)
    return valkey


def left(place: Server) -> list[bytes]:
    return [key for key in list(place.keys()) if not key.endswith(b":fence")]


class Rival(Lock):
    """A lock that does not share this process' line, as one of another process."""

    gate = None  # type: ignore[assignment]


def rival(**options: Any) -> Rival:
    made = Rival("job", **options)
    made.gate = Gate()
    return made


class Setting:
    """What an operation finds, and what has to be done for it to come to its end."""

    def __init__(self, place: Server) -> None:
        self.place = place
        self.helpers: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for each in self.helpers:
            each.cancel()
        await asyncio.gather(*self.helpers, return_exceptions=True)

    async def operation(self) -> None:
        raise NotImplementedError


class Free(Setting):
    async def operation(self) -> None:
        lock = Lock("job")
        await lock.aacquire()
        await lock.arelease()


class Body(Setting):
    async def operation(self) -> None:
        async with Lock("job"):
            await asyncio.sleep(0)


class Extended(Setting):
    async def operation(self) -> None:
        async with Lock("job", timeout=20) as held:
            await held.aextend(1)
            await held.areacquire()
            await held.aowned()


class BehindOneHere(Setting):
    """In line behind a task of this process, which gives it back in its time."""

    async def __aenter__(self) -> Self:
        taken = asyncio.Event()

        async def hold() -> None:
            async with Lock("job"):
                taken.set()
                await asyncio.sleep(0.01)

        self.helpers.append(asyncio.create_task(hold()))
        await taken.wait()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*self.helpers)

    operation = Body.operation


class BehindAStranger(BehindOneHere):
    """In line behind another process, which hands it over."""

    async def __aenter__(self) -> Self:
        taken = asyncio.Event()

        async def hold() -> None:
            async with rival():
                taken.set()
                await asyncio.sleep(0.01)

        self.helpers.append(asyncio.create_task(hold()))
        await taken.wait()
        return self


class BeforeOthers(BehindOneHere):
    """With one more of this process behind it, to whom it is handed on."""

    async def operation(self) -> None:
        async def follow() -> None:
            async with Lock("job", blocking_timeout=10):
                pass

        async with Lock("job"):
            self.helpers.append(asyncio.create_task(follow()))
            await asyncio.sleep(0)


class BeforeStrangers(BehindAStranger):
    """With one of another process in line behind it."""

    async def operation(self) -> None:
        async def follow() -> None:
            async with rival(blocking_timeout=10):
                pass

        async with Lock("job"):
            self.helpers.append(asyncio.create_task(follow()))
            await asyncio.sleep(0)


class Impatient(BehindAStranger):
    async def operation(self) -> None:
        lock = Lock("job", blocking_timeout=0.005)
        if await lock.aacquire():
            await lock.arelease()


class Place(Setting):
    """A place of a semaphore, with somebody in the way."""

    async def __aenter__(self) -> Self:
        taken = asyncio.Event()

        class Elsewhere(Semaphore):
            gate = Gate(shared=True)

        async def hold() -> None:
            async with Elsewhere("places", 2):
                taken.set()
                await asyncio.sleep(0.01)

        self.helpers.append(asyncio.create_task(hold()))
        await taken.wait()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*self.helpers)

    async def operation(self) -> None:
        async with Semaphore("places", 2), Semaphore("places", 2) as held:
            await held.aowned()


class Sides(Setting):
    async def operation(self) -> None:
        lock = ReadWriteLock("book")
        async with lock.read:
            pass
        async with lock.write:
            pass


SETTINGS = [
    Free, Body, Extended, BehindOneHere, BehindAStranger, BeforeOthers,
    BeforeStrangers, Impatient, Place, Sides,
]  # fmt: skip


@pytest.mark.parametrize("scripts", ["known", "forgotten"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_cancelled_at_every_await(
    place: Server, setting: type[Setting], when: str, scripts: str
) -> None:
    """Whether or not the server knows the scripts, which are sent whole if not.

    Where they are forgotten somebody listens to operations, too: then the short way is
    not taken.
    """

    async def main() -> int:
        async with setting(place) as each:
            await each.operation()
        for step in range(1000):
            if scripts == "forgotten":
                place.ask("SCRIPT", "FLUSH")
            async with setting(place) as each:
                cut = Cancelled(each.operation(), step, when)
                was_cancelled = await cut.run()
            at = f"{setting.__name__} cancelled {when} its step {step}"
            await asyncio.to_thread(
                until, lambda: not left(place), f"{at}: nothing is left", 10
            )
            assert await rival().aacquire(blocking=False), at
            place.ask("DEL", Lock("job").key)
            lock = Lock("job")
            assert await lock.aacquire(blocking=False), at
            await lock.arelease()
            line = gate_for(lock.alias.link, lock.key)
            assert not line.is_busy, at
            if not was_cancelled:
                return step
        raise AssertionError("it never came to its end")

    with Recorder(events.Operation) if scripts == "forgotten" else nullcontext():
        assert asyncio.run(main()) >= 2


@pytest.fixture
def granted_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server wait so long for one who was given the lock, not two seconds."""
    template = tokens._token.replace(b".2000.", b".60000.")
    monkeypatch.setattr(tokens, "_token", template)


@pytest.mark.usefixtures("granted_for_a_minute")
@pytest.mark.parametrize("first", ["who gives it back", "who comes next"])
def test_who_gives_it_back_and_who_comes_next_are_both_cancelled(
    place: Server, first: str
) -> None:
    """The server has given it to somebody who is gone: it is taken back at once."""

    async def main() -> None:
        holder, after = (Lock("job", thread_local=False) for _ in "12")
        for _ in "12":
            await holder.aacquire()
            await holder.arelease()  # and the server knows the script
        await holder.aacquire()
        waiting = asyncio.create_task(after.aacquire())
        line = gate_for(holder.alias.link, holder.key)
        await asyncio.to_thread(until, lambda: line.is_contended, "it waits")
        place.pause()
        try:
            release = asyncio.create_task(holder.arelease())
            await asyncio.sleep(0.01)
            tasks = [release, waiting]
            if first == "who comes next":
                waiting.cancel()
                await asyncio.wait([waiting])
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
        finally:
            place.resume()
        await asyncio.to_thread(until, lambda: not left(place), "it is free", 10)
        assert not line.is_busy

    asyncio.run(main())


@pytest.mark.usefixtures("granted_for_a_minute")
@pytest.mark.parametrize("when", ["before the answer", "after it"])
def test_who_comes_next_is_withdrawn_before_it_is_given_the_lock(
    place: Server, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """And again after it: who gives the lock back is cancelled, and saw it leave.

    What withdraws it is repeated for three seconds; here it comes once, as if the
    server had taken longer than that over the release.
    """
    monkeypatch.setattr(leases, "TIMES", (0.0,))

    def scripts() -> int:
        found = place.ask("INFO", "commandstats").get("cmdstat_evalsha", {})
        return int(found.get("calls", 0))

    async def once() -> None:
        held = await Lock("job", thread_local=False).__aenter__()
        waiting = asyncio.create_task(Lock("job").aacquire())
        await asyncio.to_thread(until, lambda: held.gate.is_contended, "it waits")
        release = held._release()
        command = next(release)
        before = scripts()
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.to_thread(until, lambda: scripts() > before, "it is out")
        reply = await held.alias.link.awaiting.ask(command)
        if when == "after it":
            release.send(reply)  # it passes on what came back to it
        with pytest.raises(asyncio.CancelledError):
            release.throw(asyncio.CancelledError())
        await asyncio.to_thread(until, lambda: not left(place), "it is free", 10)

    async def main() -> None:
        for _ in "12":  # the second time the server knows the scripts
            await once()

    asyncio.run(main())


def test_one_that_was_cancelled_has_left_the_line(place: Server) -> None:
    """As soon as its errand is run: its token is in no key of the lock."""

    async def main() -> None:
        async with rival():
            task = asyncio.create_task(Lock("job").aacquire())
            await asyncio.to_thread(
                until, lambda: len(left(place)) == 3, "it is in line"
            )
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await asyncio.to_thread(
                until, lambda: len(left(place)) == 1, "it is not any more"
            )
        with pytest.raises(LockError):
            await Lock("job").arelease()

    asyncio.run(main())
