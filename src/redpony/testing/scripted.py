"""A driver without a server: it answers a plan from a script, by a fake clock.

What always holds:

* A plan sees what a real driver would show it: an error that is scripted for a
  command is thrown into the plan, one for a part of a batch is an item of
  `Replies`, and the user's code behind an `Invoke` is called.
* Nothing is guessed. A command that the script does not expect, a reply that the
  command can never have, and replies that nobody asked for are `AssertionError`s
  that name what was expected and what the plan asked. They are raised past the
  plan, which cannot catch them.
* No time passes but the clock's: `Sleep`, and a `Wait` or `Await` that runs out, move
  it on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from redpony.commands import Command
from redpony.errors import RedponyError
from redpony.plan import (
    Await,
    Batch,
    Everywhere,
    Invoke,
    Now,
    Plan,
    Raised,
    Replies,
    Settle,
    Sleep,
    Wait,
    abandon,
    finish,
)
from redpony.wire.driving import ainvoke, invoke
from redpony.wire.replies import misfit

R = TypeVar("R")

Server = Callable[[Command], Any]
"""Answers commands in place of a script: returns a reply, or an error as one."""

BEGINNING = 1_700_000_000.0
"""What the fake clock shows at first: seconds since the epoch, in November 2023."""

_SHORT = 60
_NOTHING = object()


class FakeClock:
    """A clock that stands still until it is told to go on; calling it reads it."""

    def __init__(self, now: float = BEGINNING) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let some seconds pass."""
        self.now += seconds

    def __repr__(self) -> str:
        return f"<FakeClock at {self.now!r}>"


class ScriptedDriver:
    """Runs plans in both colours, answering from a script.

        driver = ScriptedDriver(None, b"OK")
        assert driver.run(plan()) == 1
        assert driver.commands == [GET("a"), SET("a", "1")]

    Three ways to script, looked at in this order: `answer` gives a command its
    reply whenever it is asked; replies given to the constructor or to `expect`
    are handed out in order; `server` is a function that answers what is left. A
    reply that is a `RedponyError` is what the command meets; any other exception
    stands for an interrupt: it ends the plan and reaches the caller.

    As a context manager it checks at the end that every reply was asked for.
    """

    def __init__(
        self,
        *replies: Any,
        server: Server | None = None,
        clock: FakeClock | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.yielded: list[Any] = []
        """Every effect that plans have yielded, in order."""
        self.commands: list[Command] = []
        """Every command that was asked, those of batches one by one."""
        self.round_trips = 0
        """How many flights to a server that would have been."""
        self.slept: list[float] = []
        """The seconds of each `Sleep`."""
        self._server = server
        self._always: dict[Command, Any] = {}
        self._script: deque[tuple[Command | None, Any]] = deque(
            (None, reply) for reply in replies
        )

    # The script

    def expect(self, command: Command, reply: Any = None) -> Self:
        """Answer the next command, which must be exactly this one; in order."""
        self._script.append((command, reply))
        return self

    def reply(self, *replies: Any) -> Self:
        """Answer the next commands, whatever they are, in order."""
        self._script.extend((None, each) for each in replies)
        return self

    def answer(self, command: Command, reply: Any = None) -> Self:
        """Answer this command whenever it is asked."""
        self._always[command] = reply
        return self

    @property
    def left(self) -> int:
        """How many replies in order have not been asked for yet."""
        return len(self._script)

    def check(self) -> None:
        """Raise AssertionError if the script expects more than was asked."""
        if self._script:
            expected, reply = self._script[0]
            what = "any command" if expected is None else describe(expected)
            raise AssertionError(
                f"The script was not used up: {self.left} more expected, first "
                f"{what} to be answered with {_shortened(reply)}\n{self._story()}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.check()

    # Running plans

    def run(self, plan: Plan[R]) -> R:
        """Return a plan's result, or raise what the user's code raised."""
        return finish(self.drive(plan))  # type: ignore[no-any-return]

    async def arun(self, plan: Plan[R]) -> R:
        """Run a plan as the asyncio driver does: user's coroutines are awaited."""
        return finish(await self.adrive(plan))  # type: ignore[no-any-return]

    def drive(self, plan: Plan[R], settle: Settle | None = None) -> R | Raised:
        """Run a plan; a user's exception comes back as `Raised`."""
        try:
            effect = next(plan)
            while True:
                try:
                    if type(effect) is Invoke:
                        self.yielded.append(effect)
                        reply: Any = invoke(effect.callable)
                    else:
                        reply = self._perform(effect)
                except RedponyError as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(reply)
        except StopIteration as stop:
            result: R | Raised = stop.value
            return result
        except RedponyError as error:
            if settle is None:
                raise
            return settle(plan, error)  # type: ignore[no-any-return]
        finally:
            abandon(plan)

    async def adrive(self, plan: Plan[R], settle: Settle | None = None) -> R | Raised:
        """Run a plan in asyncio; a user's exception comes back as `Raised`."""
        try:
            effect = next(plan)
            while True:
                try:
                    if type(effect) is Invoke:
                        self.yielded.append(effect)
                        reply: Any = await ainvoke(effect.callable)
                    else:
                        reply = self._perform(effect)
                        # As with a server, other tasks have their turn meanwhile.
                        await asyncio.sleep(0)
                except RedponyError as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(reply)
        except StopIteration as stop:
            result: R | Raised = stop.value
            return result
        except RedponyError as error:
            if settle is None:
                raise
            return settle(plan, error)  # type: ignore[no-any-return]
        finally:
            abandon(plan)

    # Effects

    def _perform(self, effect: Any) -> Any:
        self.yielded.append(effect)
        kind = type(effect)
        if isinstance(effect, Command):
            return self._ask(effect)
        if kind is Batch:
            return self._ask_all(effect)
        if kind is Sleep:
            self.slept.append(effect.seconds)
            self.clock.advance(effect.seconds)
            return None
        if kind is Everywhere:
            return self._ask_all(Batch([command for _, command in effect.asks]))
        if kind is Now:
            return self.clock()
        if kind is Wait:
            before = effect.before
            first = None if before is None else self._ask(before)
            if before is not None:
                self.round_trips -= 1  # both leave together
            reply = self._ask(effect.command)
            if reply is None and effect.timeout is not None:
                self.clock.advance(effect.timeout)
            return reply if before is None else (first, reply)
        if kind is Await:
            if not effect.signal.is_set and effect.timeout is not None:
                self.clock.advance(effect.timeout)
            return effect.signal.is_set
        raise TypeError(f"A plan yielded {effect!r}, which is no effect")

    def _ask(self, command: Command) -> Any:
        self.round_trips += 1
        reply = self._next(command)
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def _ask_all(self, batch: Batch) -> Replies:
        if not batch.commands:
            return Replies([])
        self.round_trips += 1
        items: list[Any] = []
        for command in batch.commands:
            reply = self._next(command)
            if isinstance(reply, BaseException) and not isinstance(reply, RedponyError):
                raise reply
            items.append(reply)
        return Replies(items)

    def _next(self, command: Command) -> Any:
        reply = self._find(command)
        self.commands.append(command)
        if (
            not isinstance(reply, BaseException)
            and misfit(command.kind, reply) is not None
        ):
            possible = " or ".join(each.__name__ for each in command.kind.reply)
            raise AssertionError(
                f"{describe(command)} is scripted to be answered with "
                f"{_shortened(reply)}; a server would answer with {possible}"
            )
        return reply

    def _find(self, command: Command) -> Any:
        reply = self._always.get(command, _NOTHING)
        if reply is not _NOTHING:
            return reply
        if self._script:
            expected, reply = self._script[0]
            if expected is None or expected == command:
                self._script.popleft()
                return reply
            raise AssertionError(
                f"The script expects {describe(expected)}\n"
                f"but the plan asked {describe(command)}\n{self._story()}"
            )
        if self._server is not None:
            return self._server(command)
        raise AssertionError(
            f"The script expects nothing more\n"
            f"but the plan asked {describe(command)}\n{self._story()}"
        )

    def _story(self) -> str:
        asked = "\n".join(f"    {describe(each)}" for each in self.commands)
        return f"asked before:\n{asked}" if asked else "asked before: nothing"

    def __repr__(self) -> str:
        return f"<ScriptedDriver {len(self.commands)} asked, {self.left} left>"


def describe(command: Command) -> str:
    """Return a command with its arguments, for a test's eyes."""
    return " ".join(_words(command))


def _words(command: Command) -> Iterator[str]:
    yield command.name
    if command.script is not None:
        yield f"<{command.script.name}>"
        yield str(command.numkeys)
    for argument in command.args:
        yield _shortened(argument)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
