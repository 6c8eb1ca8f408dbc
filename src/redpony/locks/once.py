"""`@once`: what was done by one process is done by no other, for a time.

Two things stand behind it. A *memory*, one key that holds the sealed result for as long
as it is remembered, and a lock, so that whoever comes while the first call runs waits
for its end. What a lock cannot promise this cannot either, so there are two ways:

* As it stands, a call that was not finished is made again: by the next caller, or by a
  waiter once the lease of a dead one is over. It runs **at least once**, and partly
  twice where its process died, or was stopped for longer than the lease.
* `at_most_once`: the memory says that it was begun before it begins, and whoever finds
  that does not run it, whatever has become of the first call.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from redpony.alias import Alias
from redpony.errors import InvalidSetting
from redpony.locks.lock import Lock
from redpony.locks.memory import Memory, result_of
from redpony.locks.naming import naming

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Remembered(Protocol[P, R_co]):
    """What `once` makes of a function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run it, unless it was run; return the result, or the one remembered."""
        ...

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the call with these arguments; return whether it was remembered."""
        ...

    def aforget(
        self, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, bool]: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any: ...


class Sometimes(Protocol):
    """A decorator for what may also return None, to who comes too soon or too late."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Remembered[P, Coroutine[Any, Any, R | None]]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Remembered[P, R | None]: ...


@overload
def once(  # type: ignore[overload-overlap]
    name: str,
    *,
    ttl: float | timedelta,
    wait: Literal[False],
    at_most_once: bool = False,
    lease: float | None = None,
    using: str | Alias | None = None,
) -> Sometimes: ...


@overload
def once(  # type: ignore[overload-overlap]
    name: str,
    *,
    ttl: float | timedelta,
    wait: bool | float = True,
    at_most_once: Literal[True],
    lease: float | None = None,
    using: str | Alias | None = None,
) -> Sometimes: ...


@overload
def once(
    name: str,
    *,
    ttl: float | timedelta,
    wait: bool | float = True,
    at_most_once: bool = False,
    lease: float | None = None,
    using: str | Alias | None = None,
) -> Callable[[Callable[P, R_co]], Remembered[P, R_co]]: ...


def once(
    name: str,
    *,
    ttl: float | timedelta,
    wait: bool | float = True,
    at_most_once: bool = False,
    lease: float | None = None,
    using: str | Alias | None = None,
) -> Any:
    """Run a function, or coroutine function, once over all processes, for a time.

        @once("welcome:{user.pk}", ttl=86400)
        def send_welcome(user): ...

        send_welcome(user)          # runs, and returns its result
        send_welcome(user)          # returns the same result, for a day
        send_welcome.forget(user)   # and `await send_welcome.aforget(user)`

    * `name` is filled in from the arguments by their names, as `str.format` does.
    * `ttl`: for how long it is remembered after its end, in seconds.
    * `wait`: a call that comes while another runs waits for its end; so many seconds at
      most, then it raises `LockError`. False: it returns None at once.
    * `at_most_once`: it is not begun twice within `ttl`, even if it failed, or if its
      process died and nobody knows how far it came; such calls return None. Without
      it, what failed is not remembered, and the next call runs it again; so is what
      its process did not live to finish: by then parts of it were done.
    * `lease`: a caller that died is replaced after so many seconds.
    * `using`: the alias of `CACHES` whose server it lives on; by default
      `REDPONY["LOCKS"]["ALIAS"]`.

    The result is sealed by the alias' codec. One that has no stored form raises
    `NotSerializable`, but the call is remembered, and its later ones return None. A
    later call takes one round trip, the first five. Raises `Unavailable`; `Tampered` or
    `Unreadable` where what is remembered is not what we wrote.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSetting(f"name of once must be a text, not {name!r}")
    options: dict[str, Any] = {
        "ttl": _milliseconds(ttl),
        "at_most_once": at_most_once,
        "using": using,
    }
    locking: dict[str, Any] = {
        "lease": lease,
        "blocking": wait is not False,
        "blocking_timeout": _patience(wait),
    }

    def decorate(function: Callable[..., Any]) -> Any:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
            function
        ):
            raise InvalidSetting(
                f"@once({name!r}): {function.__qualname__} is a generator, which has no "
                "result to remember"
            )
        name_for = naming("once", name, function)

        def memory_for(args: Any, kwargs: Any) -> Memory:
            return Memory(name_for(args, kwargs), **options)

        def lock_for(memory: Memory) -> Lock:
            return Lock(
                memory.name,
                using=memory.alias,
                key=memory.lock_key,
                # The result counts, whatever became of the lock.
                raise_on_release_error=False,
                **locking,
            )

        make = _awaiting if inspect.iscoroutinefunction(function) else _blocking
        wrapper: Any = functools.wraps(function)(make(function, memory_for, lock_for))

        def forget(*args: Any, **kwargs: Any) -> bool:
            return memory_for(args, kwargs).forget()

        async def aforget(*args: Any, **kwargs: Any) -> bool:
            return await memory_for(args, kwargs).aforget()

        wrapper.forget = forget
        wrapper.aforget = aforget
        return wrapper

    return decorate


MemoryFor = Callable[[Any, Any], Memory]
LockFor = Callable[[Memory], Lock]


def _blocking(
    function: Callable[..., Any], memory_for: MemoryFor, lock_for: LockFor
) -> Callable[..., Any]:
    def blocking(*args: Any, **kwargs: Any) -> Any:
        memory = memory_for(args, kwargs)
        found = memory.recall()
        if found is not None:
            return result_of(found)
        lock = lock_for(memory)
        if lock.blocking:
            lock.__enter__()
        elif not lock.acquire():
            return None
        with lock.taken():
            found = memory.begin()
            if found is not None:
                return result_of(found)
            result = function(*args, **kwargs)
            memory.end(result)
            return result

    return blocking


def _awaiting(
    function: Callable[..., Any], memory_for: MemoryFor, lock_for: LockFor
) -> Callable[..., Any]:
    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        memory = memory_for(args, kwargs)
        found = await memory.arecall()
        if found is not None:
            return result_of(found)
        lock = lock_for(memory)
        if lock.blocking:
            await lock.__aenter__()
        elif not await lock.aacquire():
            return None
        async with lock.taken() as held:
            found = await memory.abegin()
            if found is not None:
                return result_of(found)
            if memory.at_most_once and held.guard is not None:
                # Nobody else will do it: a loss is no reason to break off.
                held.guard.end()
            result = await function(*args, **kwargs)
            await memory.aend(result)
            return result

    return awaiting


def _milliseconds(ttl: Any) -> int:
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidSetting(
            f"ttl of once must be a number of seconds or a timedelta, not {ttl!r}"
        )
    if not 0.001 <= seconds < math.inf:
        raise InvalidSetting(f"ttl of once must be at least 0.001 s, not {ttl!r}")
    return int(seconds * 1000)


def _patience(wait: Any) -> float | None:
    if isinstance(wait, bool):
        return None
    if not isinstance(wait, int | float) or not 0 <= wait < math.inf:
        raise InvalidSetting(
            f"wait of once must be True, False or a number of seconds, not {wait!r}"
        )
    return float(wait)
