"""Plans: every operation written once, run in both colours.

A plan is a generator that yields what it needs from the world (an effect) and
returns the operation's result. It knows no socket, no clock and no event loop;
a driver performs its effects, blocking or in asyncio, and `both` makes the
public pair of methods from the one body:

    def _get(self, key): ...
        reply = yield GET(key)
        return decode(reply)

    get, aget = both(_get)

What drivers promise to a plan:

* `Command` answers the reply, or throws a `RedponyError` into the plan.
* `Batch` never throws for what its commands met: it answers `Replies`, one
  result and one outcome for each command, in order.
* `Invoke` calls the user's code. The plan gets an outcome, never the user's
  exception: a `StopIteration` thrown into a generator would turn into a
  `RuntimeError`, and a user's `Unavailable` must not look like ours. A plan
  passes the failure on by returning the outcome itself; the driver raises it
  outside the plan.
* `Sleep` and `Now` go through the driver's clock.
* `Wait` blocks for a blocking command's answer, `Await` for another thread or task
  of the process; each with a timeout of its own.
* `Everywhere` asks several servers at the same time, and answers `Replies` too.

A plan holds no resource. Its `finally` is best effort (an interrupt may skip
it), so correctness rests on leases, never on clean-up.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from types import CoroutineType
from typing import (
    Any,
    ClassVar,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    overload,
)

from redpony.commands import Command, Reply
from redpony.errors import Outcome, RedponyError
from redpony.signals import Signal

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Plan = Generator[Any, Any, R]
Settle = Callable[[Plan[Any], RedponyError], Any]


class Batch:
    """Commands that leave together and are answered together.

    `atomic` wraps them in MULTI and EXEC: all are applied, or none is.
    `same_connection` keeps them in order on one connection (they are anyway on
    a single server). Without either, a cluster may split them.
    """

    __slots__ = ("atomic", "commands", "same_connection")

    def __init__(
        self,
        commands: Sequence[Command],
        *,
        atomic: bool = False,
        same_connection: bool = False,
    ) -> None:
        self.commands = commands
        self.atomic = atomic
        self.same_connection = same_connection or atomic

    def __repr__(self) -> str:
        return f"<Batch of {len(self.commands)} commands>"


class Replies(Sequence[Reply]):
    """A batch's answers: for each command its reply, or the error it met."""

    __slots__ = ("items",)

    def __init__(self, items: list[Reply]) -> None:
        self.items = items

    @overload
    def __getitem__(self, index: int) -> Reply: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Reply]: ...
    def __getitem__(self, index: int | slice) -> Reply | Sequence[Reply]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Reply]:
        return iter(self.items)

    def outcome(self, index: int) -> Outcome | None:
        """Return what became of one command; None where it was answered."""
        item = self.items[index]
        return item.outcome if isinstance(item, RedponyError) else None

    def check(self) -> list[Reply]:
        """Return the replies, or raise the first error among them."""
        for item in self.items:
            if isinstance(item, RedponyError):
                raise item
        return self.items


class Invoke:
    """A call of the user's code; a coroutine function is awaited in asyncio."""

    __slots__ = ("callable",)

    def __init__(self, callable: Callable[[], Any]) -> None:
        self.callable = callable


class Returned(Generic[T]):
    """`Invoke` came back with a value."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


class Raised:
    """`Invoke` came back with the user's exception.

    A plan that returns this makes its caller see `error`, as it was raised.
    """

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


Invoked = Returned[Any] | Raised


class Sleep:
    """Do nothing for some seconds."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Now:
    """Ask for the time: seconds since the epoch, by this machine's clock."""

    __slots__ = ()


class Wait:
    """Wait for a blocking command's answer, at most `timeout` seconds.

    Answers the reply, or None where the time ran out. The deadline does not
    apply, and the command has a connection of its own.

    `before` leaves with it, in one flight, for the same server; then the answer is
    both replies, and an error that `before` meets ends the wait at once.

    A server notices that the time ran out when it looks, ten times a second where
    nothing else happens. With `exact` nobody waits for that; it costs the connection.
    """

    __slots__ = ("before", "command", "exact", "timeout")

    def __init__(
        self,
        command: Command,
        timeout: float | None,
        before: Command | None = None,
        *,
        exact: bool = False,
    ) -> None:
        self.command = command
        self.timeout = timeout
        self.before = before
        self.exact = exact


class Await:
    """Wait for another thread or task of this process, at most `timeout` seconds.

    Answers whether the signal is set.
    """

    __slots__ = ("signal", "timeout")

    def __init__(self, signal: Signal, timeout: float | None) -> None:
        self.signal = signal
        self.timeout = timeout


class Everywhere:
    """One command for each of several servers, which are asked at the same time.

    Answers `Replies`, in order, and never throws for what its commands met. It takes
    `lasts` seconds at most, whatever the servers do: whoever has not answered by then
    is an item with the outcome "unknown".
    """

    __slots__ = ("asks", "lasts")

    def __init__(self, asks: Sequence[tuple[Any, Command]], lasts: float) -> None:
        self.asks = asks
        """Links, and what each of them is asked."""
        self.lasts = lasts


class Runs(Protocol):
    """What `both` needs of the object whose methods it makes."""

    def _run(self, plan: Plan[R]) -> R: ...
    async def _arun(self, plan: Plan[R]) -> R: ...


def name_of(plan: Plan[Any]) -> str:
    """Return the name of the function that made a plan: `_get`."""
    return str(getattr(plan, "__name__", ""))


def abandon(plan: Plan[Any]) -> None:
    """Close a plan that an interrupt ended, now rather than when it is forgotten.

    Its `finally` runs as far as its first effect: nobody is there to perform it.
    """
    try:
        plan.close()
    except RuntimeError:  # it yielded: "generator ignored GeneratorExit"
        pass


def finish(value: Any) -> Any:
    """Return a plan's result, or raise the user's exception that it passed on."""
    if type(value) is Raised:
        raise value.error
    return value


def both(
    f: Callable[P, Generator[Any, Any, R]],
    *,
    fast: Callable[..., Any] | None = None,
) -> tuple[Callable[P, R], Callable[P, CoroutineType[Any, Any, R]]]:
    """Return the blocking and the asyncio method for a plan named `_name`.

    Both look the plan up by its name, so that a subclass may override `_name`
    and have both. `fast` is tried first, with the same arguments: it returns
    the result, or `MISSED` to run the plan.
    """
    plan_name = f.__name__
    if not plan_name.startswith("_"):
        raise TypeError(f"a plan's name starts with an underscore: {plan_name}")
    name = plan_name[1:]

    if fast is None:

        def blocking(self: Any, *args: Any, **kwargs: Any) -> Any:
            return self._run(getattr(self, plan_name)(*args, **kwargs))

        async def awaiting(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await self._arun(getattr(self, plan_name)(*args, **kwargs))

    else:

        def blocking(self: Any, *args: Any, **kwargs: Any) -> Any:
            hit = fast(self, *args, **kwargs)
            if hit is not MISSED:
                return hit
            return self._run(getattr(self, plan_name)(*args, **kwargs))

        async def awaiting(self: Any, *args: Any, **kwargs: Any) -> Any:
            hit = fast(self, *args, **kwargs)
            if hit is not MISSED:
                return hit
            return await self._arun(getattr(self, plan_name)(*args, **kwargs))

    signature = _signature(f)
    owner = f.__qualname__.rpartition(".")[0]
    for colour, public in ((blocking, name), (awaiting, f"a{name}")):
        colour.__name__ = public
        colour.__qualname__ = f"{owner}.{public}" if owner else public
        colour.__module__ = f.__module__
        colour.__doc__ = f.__doc__
        setattr(colour, "__signature__", signature)  # noqa: B010 (no such attribute in typeshed)
    return blocking, awaiting  # type: ignore[return-value]


class _Missed:
    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSED"


MISSED = _Missed()
"""What a fast path returns when the plan has to run."""


def _signature(f: Callable[..., Any]) -> inspect.Signature:
    """Return the plan's signature with the result in place of the generator."""
    signature = inspect.signature(f)
    annotation = signature.return_annotation
    if isinstance(annotation, str):
        generator = _GENERATOR.fullmatch(annotation)
        if generator is not None:
            annotation = generator[1]
    elif get_origin(annotation) is Generator:
        annotation = get_args(annotation)[-1]
    return signature.replace(return_annotation=annotation)


_GENERATOR = re.compile(r"(?:Plan\[|Generator\[Any, *Any, *)(.*)\]")


class TwoColoured:
    """A base for classes with `both` pairs that users may subclass.

    A subclass that overrides only the blocking method would be bypassed by the
    asyncio one, in silence. It gets an asyncio method that calls the override
    in a thread, as Django's own backends do.
    """

    _planned: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        planned = {name for name in own if f"a{name}" in own and f"_{name}" in own}
        for base in cls.__mro__[1:]:
            planned |= vars(base).get("_planned", frozenset())
        for name in planned:
            # A mixin may bring the override: what counts is who is asked first.
            if _home(cls, name) < _home(cls, f"a{name}"):
                setattr(cls, f"a{name}", _in_thread(name, getattr(cls, name)))
        cls._planned = frozenset(planned)


def _home(cls: type, name: str) -> int:
    """Return how far up the class finds a name."""
    for distance, base in enumerate(cls.__mro__):
        if name in vars(base):
            return distance
    return len(cls.__mro__)


def _in_thread(name: str, override: Callable[..., Any]) -> Callable[..., Any]:
    async def awaiting(self: Any, *args: Any, **kwargs: Any) -> Any:
        from asgiref.sync import sync_to_async

        method = getattr(self, name)
        return await sync_to_async(method, thread_sensitive=True)(*args, **kwargs)

    awaiting.__name__ = f"a{name}"
    awaiting.__qualname__ = f"{override.__qualname__.rpartition('.')[0]}.a{name}"
    awaiting.__doc__ = override.__doc__
    awaiting.__module__ = override.__module__
    return awaiting
