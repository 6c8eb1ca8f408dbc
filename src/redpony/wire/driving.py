"""Running plans: an effect at a time, in either colour.

What an effect comes to on one server, or on several, is the drivers' own:
they bring `ask`, `ask_all` and `wait`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from redpony.commands import Command
from redpony.errors import RedponyError
from redpony.plan import (
    Await,
    Batch,
    Everywhere,
    Invoke,
    Invoked,
    Now,
    Plan,
    Raised,
    Replies,
    Returned,
    Settle,
    Sleep,
    Wait,
    abandon,
    finish,
)

R = TypeVar("R")


class BlockingDrive(ABC):
    """Runs plans, blocking the calling thread."""

    @abstractmethod
    def ask(self, command: Command) -> Any:
        """Return the reply to one command, or raise."""

    @abstractmethod
    def ask_all(self, batch: Batch, lasts: float | None = None) -> Replies:
        """Return the replies of a batch, in one flight; never raise what they met.

        `lasts` (seconds) replaces the deadline.
        """

    @abstractmethod
    def wait(self, effect: Wait) -> Any:
        """Return the reply to a blocking command; None where its time ran out."""

    def run(self, plan: Plan[R]) -> R:
        """Return a plan's result, or raise what the user's code raised."""
        return finish(self.drive(plan))  # type: ignore[no-any-return]

    def drive(self, plan: Plan[R], settle: Settle | None = None) -> R | Raised:
        """Perform a plan's effects; a user's exception comes back as `Raised`.

        `settle` is asked what an error of ours comes to: it returns or raises.
        """
        try:
            effect = next(plan)
            while True:
                try:
                    if isinstance(effect, Command):
                        reply = self.ask(effect)
                    else:
                        reply = self._perform(effect)
                except RedponyError as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(reply)
        except StopIteration as stop:
            result: R | Raised = stop.value
            return result
        except BaseException as error:
            abandon(plan)
            if settle is None or not isinstance(error, RedponyError):
                raise
            return settle(plan, error)  # type: ignore[no-any-return]

    def _perform(self, effect: Any) -> Any:
        if type(effect) is Batch:
            return self.ask_all(effect)
        if type(effect) is Invoke:
            return invoke(effect.callable)
        if type(effect) is Sleep:
            time.sleep(effect.seconds)
            return None
        if type(effect) is Now:
            return time.time()
        if type(effect) is Wait:
            return self.wait(effect)
        if type(effect) is Await:
            return effect.signal.wait(effect.timeout)
        if type(effect) is Everywhere:
            from redpony.wire.everywhere import ask_everywhere

            return ask_everywhere(effect)
        raise TypeError(f"A plan yielded {effect!r}, which is no effect")


class AsyncDrive(ABC):
    """Runs plans in asyncio."""

    @abstractmethod
    async def ask(self, command: Command) -> Any:
        """Return the reply to one command, or raise."""

    @abstractmethod
    async def ask_all(self, batch: Batch, lasts: float | None = None) -> Replies:
        """Return the replies of a batch, in one flight; never raise what they met.

        `lasts` (seconds) replaces the deadline.
        """

    @abstractmethod
    async def wait(self, effect: Wait) -> Any:
        """Return the reply to a blocking command; None where its time ran out."""

    async def run(self, plan: Plan[R]) -> R:
        """Return a plan's result, or raise what the user's code raised."""
        return finish(await self.drive(plan))  # type: ignore[no-any-return]

    async def drive(self, plan: Plan[R], settle: Settle | None = None) -> R | Raised:
        """Perform a plan's effects; a user's exception comes back as `Raised`.

        `settle` is asked what an error of ours comes to: it returns or raises.
        """
        try:
            effect = next(plan)
            while True:
                try:
                    if isinstance(effect, Command):
                        reply = await self.ask(effect)
                    else:
                        reply = await self._perform(effect)
                except RedponyError as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(reply)
        except StopIteration as stop:
            result: R | Raised = stop.value
            return result
        except BaseException as error:
            abandon(plan)
            if settle is None or not isinstance(error, RedponyError):
                raise
            return settle(plan, error)  # type: ignore[no-any-return]

    async def _perform(self, effect: Any) -> Any:
        if type(effect) is Batch:
            return await self.ask_all(effect)
        if type(effect) is Invoke:
            return await ainvoke(effect.callable)
        if type(effect) is Sleep:
            await asyncio.sleep(effect.seconds)
            return None
        if type(effect) is Now:
            return time.time()
        if type(effect) is Wait:
            return await self.wait(effect)
        if type(effect) is Await:
            return await effect.signal.awaited(effect.timeout)
        if type(effect) is Everywhere:
            from redpony.wire.everywhere import aask_everywhere

            return await aask_everywhere(effect)
        raise TypeError(f"A plan yielded {effect!r}, which is no effect")


def invoke(callable: Callable[[], Any]) -> Invoked:
    """Call the user's code and return what came of it."""
    if inspect.iscoroutinefunction(callable):
        return Raised(_coroutine(callable))
    try:
        value = callable()
        if inspect.iscoroutine(value):
            value.close()
            raise _coroutine(callable)
    except Exception as error:  # noqa: BLE001 (handed on, outside the plan)
        return Raised(error)
    return Returned(value)


async def ainvoke(callable: Callable[[], Any]) -> Invoked:
    """Call the user's code, await what it returns, and say what came of it."""
    try:
        value = callable()
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:  # noqa: BLE001 (handed on, outside the plan)
        return Raised(error)
    return Returned(value)


def _coroutine(callable: Callable[[], Any]) -> TypeError:
    return TypeError(
        f"{callable!r} is a coroutine function or returns a coroutine; use the asyncio "
        "twin of this method (its name starts with `a`)"
    )
