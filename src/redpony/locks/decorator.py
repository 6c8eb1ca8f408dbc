"""`@locked`: one call at a time, by what it is called with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from redpony.errors import InvalidSetting
from redpony.locks import lockdep
from redpony.locks.lock import Lock
from redpony.locks.naming import naming

F = TypeVar("F", bound=Callable[..., Any])

_WAIT: Any = object()


def locked(
    name: str, *, otherwise: Callable[..., Any] = _WAIT, **options: Any
) -> Callable[[F], F]:
    """Let one call in at a time: a function's, a coroutine's, a view's, a command's.

        @locked("import:{supplier.pk}")
        def import_from(supplier): ...

        @locked("nightly", otherwise=lambda *_, **__: None)
        async def report(): ...

    `name` is filled in from the arguments by their names, as `str.format` does. The
    options are those of `Lock`. `otherwise`: who finds the lock taken does not wait;
    this is called in place of the function, with its arguments, and its result
    returned. Raises `LockError` where the lock could not be had within
    `blocking_timeout`, `LockLost` where it was lost while the function ran.
    """
    if otherwise is not _WAIT and options.setdefault("blocking", False):
        raise InvalidSetting("otherwise is for blocking=False: nobody waits")

    def decorate(function: F) -> F:
        name_for = naming("locked", name, function)

        def lock_for(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Lock:
            lock = Lock(name_for(args, kwargs), **options)
            if lockdep.watching:
                lock.family = lockdep.family_of_template(name)
            return lock

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaiting(*args: Any, **kwargs: Any) -> Any:
                lock = lock_for(args, kwargs)
                if otherwise is _WAIT:
                    async with lock:
                        return await function(*args, **kwargs)
                if not await lock.aacquire():
                    result = otherwise(*args, **kwargs)
                    return await result if inspect.isawaitable(result) else result
                async with lock.taken():
                    return await function(*args, **kwargs)

            return awaiting  # type: ignore[return-value]

        @functools.wraps(function)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            lock = lock_for(args, kwargs)
            if otherwise is _WAIT:
                with lock:
                    return function(*args, **kwargs)
            if not lock.acquire():
                return otherwise(*args, **kwargs)
            with lock.taken():
                return function(*args, **kwargs)

        return blocking  # type: ignore[return-value]

    return decorate
