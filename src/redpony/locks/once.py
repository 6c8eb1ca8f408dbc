"""`@once`: what was done by one process is done by no other, for a time.

Two things stand behind it. A *memory*, one key that holds the sealed result for as long
as it is remembered, and a lock, so that whoever comes while the first call runs waits
for its end. What a lock cannot promise this cannot either, so there are two ways:

* As it stands, a call that was not finished is made again: by the next caller, or by a
  waiter once the lease of a dead one is over. It runs **at least once**, and partly
  twice where its process died, or was stopped for longer than the lease.
* `at_most_once`: the memory says that it was begun before it begins, and whoever finds
  that does not run it, whatever has become of the first call.

redpony{TAG}:once         the memory: ["done", result], ["done"] or ["begun", token]
redpony{TAG}:once-lock    the lock
"""

from __future__ import annotations

import functools
import inspect
import math
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast

from redpony.alias import Alias
from redpony.codec import Codec
from redpony.commands import DEL, GET, Repeat, call
from redpony.errors import (
    InvalidSetting,
    NotSerializable,
    Tampered,
    TooLarge,
    Unavailable,
    WriteRefused,
)
from redpony.locks.claim import LEASE, PATIENCE
from redpony.locks.lock import Lock
from redpony.locks.naming import naming
from redpony.locks.running import Running, alias_of
from redpony.locks.terms import own_key
from redpony.plan import Plan, Sleep, both
from redpony.scripts import script

monotonic = time.monotonic

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

PAUSE: Final = 0.1
"""Seconds between two tries to remember what was done."""

DONE, BEGUN = "done", "begun"


class Remembered(Protocol[P, R]):
    """What `once` makes of a function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it, unless it was run; return the result, or the one remembered."""
        ...

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the call with these arguments; return whether it was remembered."""
        ...

    def aforget(
        self, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, bool]: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any: ...


def once(
    name: str,
    *,
    ttl: float | timedelta,
    wait: bool | float = True,
    at_most_once: bool = False,
    lease: float = LEASE,
    using: str | Alias = "default",
) -> Callable[[Callable[P, R]], Remembered[P, R]]:
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
    * `using`: the alias of `CACHES` whose server it lives on.

    The result is sealed by the alias' codec. One that has no stored form raises
    `NotSerializable`, but the call is remembered, and its later ones return None. A
    later call takes one round trip, the first five. Raises `Unavailable`; `Tampered` or
    `Unreadable` where what is remembered is not what we wrote.
    """
    milliseconds = _milliseconds(ttl)
    patience = _patience(wait)

    def decorate(function: Callable[P, R]) -> Remembered[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
            function
        ):
            raise InvalidSetting(
                f"@once({name!r}): {function.__qualname__} is a generator, which has no "
                "result to remember"
            )
        name_for = naming("once", name, function)

        def for_call(args: Any, kwargs: Any) -> Once:
            return Once(
                name_for(args, kwargs),
                ttl=milliseconds,
                at_most_once=at_most_once,
                using=using,
            )

        def lock_for(one: Once) -> Lock:
            return Lock(
                one.name,
                using=one.alias,
                key=one.lock_key,
                lease=lease,
                blocking=wait is not False,
                blocking_timeout=patience,
                # Its result counts, whatever became of the lock.
                raise_on_release_error=False,
            )

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaiting(*args: Any, **kwargs: Any) -> Any:
                one = for_call(args, kwargs)
                found = await one.arecall()
                if found is not None:
                    return _result(found)
                lock = lock_for(one)
                if wait is not False:
                    await lock.__aenter__()
                elif not await lock.aacquire():
                    return None
                async with lock.taken() as held:
                    found = await one.abegin()
                    if found is not None:
                        return _result(found)
                    if at_most_once and held.guard is not None:
                        # Nobody else will do it: its loss is no reason to break off.
                        held.guard.end()
                    result = await function(*args, **kwargs)
                    await one.aend(result)
                    return result

            wrapper: Any = awaiting
        else:

            @functools.wraps(function)
            def blocking(*args: Any, **kwargs: Any) -> Any:
                one = for_call(args, kwargs)
                found = one.recall()
                if found is not None:
                    return _result(found)
                lock = lock_for(one)
                if wait is not False:
                    lock.__enter__()
                elif not lock.acquire():
                    return None
                with lock.taken():
                    found = one.begin()
                    if found is not None:
                        return _result(found)
                    result = function(*args, **kwargs)
                    one.end(result)
                    return result

            wrapper = blocking

        def forget(*args: Any, **kwargs: Any) -> bool:
            return for_call(args, kwargs).forget()

        async def aforget(*args: Any, **kwargs: Any) -> bool:
            return await for_call(args, kwargs).aforget()

        wrapper.forget = forget
        wrapper.aforget = aforget
        return cast("Remembered[P, R]", wrapper)

    return decorate


class Once(Running):
    """What is remembered of one call."""

    def __init__(
        self, name: str, *, ttl: int, at_most_once: bool, using: str | Alias
    ) -> None:
        self.name = name
        self.alias = alias_of(using)
        prefix = self.alias.config.key_prefix
        self.key = own_key(prefix, name, "once")
        self.lock_key = own_key(prefix, name, "once-lock")
        self._ttl = b"%d" % ttl
        self._at_most_once = at_most_once
        self._codec = _codec_of(self.alias)
        self._mark = b""

    def _recall(self) -> Plan[list[Any] | None]:
        """Return what is remembered, None where nothing is. One round trip."""
        data = yield GET(self.key)
        if data is None:
            return None
        found = self._codec.decode(self.name, data)
        if not isinstance(found, list):  # a bare number needs no seal
            raise Tampered(f"What is remembered of {self.name!r} is not what we wrote.")
        return found  # pyright: ignore[reportUnknownVariableType]

    recall, arecall = both(_recall)

    def _begin(self) -> Plan[list[Any] | None]:
        """Return what is remembered; None where the call is to be made by us."""
        found = yield from self._recall()
        if found is not None or not self._at_most_once:
            return found
        mark = self._codec.encode(self.name, [BEGUN, secrets.token_hex(12)])
        if (yield from self._keep(mark)):
            self._mark = mark
            return None
        # Somebody was quicker: our lock must have been lost.
        return (yield from self._recall()) or [BEGUN]

    begin, abegin = both(_begin)

    def _end(self, result: object) -> Plan[None]:
        """Remember the result."""
        try:
            data = self._codec.encode(self.name, [DONE, result])
        except (NotSerializable, TooLarge) as error:
            yield from self._keep(self._codec.encode(self.name, [DONE]))
            error.add_note(f"{self.name!r} has run; its result is not remembered.")
            raise
        yield from self._keep(data)

    end, aend = both(_end)

    def _forget(self) -> Plan[bool]:
        """Forget it; return whether it was remembered. One round trip."""
        return bool((yield DEL(self.key)))

    forget, aforget = both(_forget)

    def _keep(self, data: bytes) -> Plan[bool]:
        """Remember this; False where something else is remembered."""
        args = (data, self._ttl, self._mark)
        command = call(script("once_keep"), (self.key,), args, repeat=Repeat.SAFE)
        ends = monotonic() + PATIENCE
        while True:
            try:
                return bool((yield command))
            except (Unavailable, WriteRefused) as error:
                if monotonic() >= ends:
                    error.add_note(f"What {self.name!r} did may not be remembered.")
                    raise
                yield Sleep(PAUSE)


def _result(found: list[Any]) -> Any:
    return found[1] if found[0] == DONE and len(found) > 1 else None


@lru_cache(maxsize=64)
def _codec_of(alias: Alias) -> Codec:
    """Return the codec of memories: sealed whatever the cache's format is.

    A scope of its own, so that nothing that was sealed elsewhere passes for one.
    """
    config = alias.config.codec
    return Codec(
        replace(
            config,
            format="sealed",
            read_formats=("sealed",),
            scope=f"{config.scope}\0once",
        )
    )


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
