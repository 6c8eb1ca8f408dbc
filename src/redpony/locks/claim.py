"""What locks, semaphores and read-write locks have in common, in what users do with them.

How it works (the scripts' headers are the contract):

* Who finds room takes it: one round trip, and one to give it back.
* Who does not is put in the server's line by the same command, and waits for its
  mailbox; whoever gives something back hands it to the first in line. So a hand-over
  costs two round trips and nobody polls. Once a second a waiter gives a sign of life,
  which also finds a lock that somebody gave back without a word.
* Inside a process one waits for all: see `redpony.locks.gate`.
* Every command names its token and may be repeated: a lost answer is asked for again.
  A waiter that is cancelled withdraws its token; where even that fails, its place in
  line is over in three seconds, and what it was handed in two.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Any, TypeVar
from weakref import ref

from redpony import events
from redpony.alias import Alias
from redpony.conf import lock_settings
from redpony.errors import (
    LockError,
    LockNotOwned,
    Unavailable,
)
from redpony.leases import keep, undo
from redpony.locks import lockdep, tokens
from redpony.locks.contending import Found
from redpony.locks.ending import USUAL, Ending, Release
from redpony.locks.gate import Contender, Gate, gate_for
from redpony.locks.guard import Guard
from redpony.locks.held import Held
from redpony.locks.holder import whose
from redpony.locks.holdings import lay, take_out
from redpony.locks.inspection import Inspectable
from redpony.locks.quick import Quick
from redpony.locks.running import alias_of
from redpony.locks.terms import Terms
from redpony.plan import Plan, both

monotonic = time.monotonic

T = TypeVar("T", bound=Terms)


class Claim(Quick[T], Inspectable):
    """Something that is contended for, under a name."""

    kind = "lock"
    """What messages call it."""
    terms: T
    """What it is on the server."""
    family: str = ""
    """Which ones it is one of, for lockdep."""

    def __init__(
        self,
        name: str,
        *,
        using: str | Alias | None = None,
        timeout: float | None = None,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        reentrant: bool = False,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
        on_lost: Callable[[Held], object] | None = None,
        lease: float | None = None,
        replicas: int = 0,
        release: Release | None = None,
        database: str = "default",
    ) -> None:
        chosen = lock_settings()
        self.alias = alias_of(chosen.alias if using is None else using)
        self.name = name
        self.timeout = _seconds("timeout", timeout)
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self.reentrant = reentrant
        self.thread_local = thread_local
        self.raise_on_release_error = raise_on_release_error
        self.on_lost = on_lost
        self.lease = _seconds("lease", lease) or chosen.lease
        self.replicas = _count("replicas", replicas)
        self.ending = USUAL if release is None else Ending(self, release, database)
        self._held: dict[ref[Any], Held] = {}
        """Holdings by the thread or task that has them; gone with it."""
        self._drop = _dropping(ref(self))
        self._gate: Gate | None = None
        if lockdep.watching:
            self.family = lockdep.family_of(name)

    @property
    def gate(self) -> Gate:
        """The line for it in this process."""
        gate = self._gate
        if gate is None or gate.is_closed:
            terms = self.terms
            gate = gate_for(self.alias.link, terms.line, shared=terms.shared)
            self._gate = gate
        return gate

    # Taking

    def _acquire(
        self,
        sleep: float | None = None,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> Plan[bool]:
        """Take the lock; return whether it could be had.

        `blocking` False asks once. `blocking_timeout` is in seconds. `sleep` is
        redis-py's and has no effect: nobody polls. A `token` of one's own must be nobody
        else's: who asks with the holder's is taken for the holder. One round trip where
        the lock is free, two where it is handed over. Raises `Unavailable`.
        """
        del sleep
        found = yield from self._take(blocking, blocking_timeout, token)
        return found is not None

    def acquire(
        self,
        sleep: float | None = None,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> bool:
        if blocking is None and blocking_timeout is None and token is None:
            return self._take_quickly() is not None
        return self._run(self._acquire(sleep, blocking, blocking_timeout, token))

    async def aacquire(
        self,
        sleep: float | None = None,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> bool:
        if blocking is None and blocking_timeout is None and token is None:
            return await self._atake_quickly() is not None
        return await self._arun(self._acquire(sleep, blocking, blocking_timeout, token))

    acquire.__doc__ = aacquire.__doc__ = _acquire.__doc__

    def _take(
        self,
        blocking: bool | None,
        blocking_timeout: float | None,
        token: str | bytes | None = None,
        begun: Contender | None = None,
    ) -> Plan[Held | None]:
        if blocking is None:
            blocking = self.blocking
        if blocking_timeout is None:
            blocking_timeout = self.blocking_timeout
        gate = self.gate
        if self.reentrant or self.ending.waits:
            again = self._again(gate, whose())
            if again is not None:
                return again
        if lockdep.watching and begun is None:
            lockdep.wants(self, blocking, blocking_timeout)
        if token is None:
            token = self._token()
        elif isinstance(token, str):
            token = token.encode()
        contender = begun or Contender(token)
        ends = None if blocking_timeout is None else contender.since + blocking_timeout
        found: Found | None = None
        try:
            while begun is None and not gate.enter(contender):
                gate = self.gate
            found = yield from self._contend(gate, contender, blocking, ends)
            if found is not None and self.replicas:
                found = None
                found = yield from self._confirmed(contender)
        except BaseException:
            if contender.has_asked:
                # It may be in line, or have the lock, and nobody is here to use it.
                undo(self.alias.link, self.terms.cancel(contender.token))
            raise
        finally:
            if found is None:
                gate.leave(contender)
        return None if found is None else self._took(gate, contender, *found)

    def _token(self) -> bytes:
        terms = self.terms
        return tokens.new_token(self.timeout, terms.weight, is_plain=terms.is_plain)

    def _took(
        self, gate: Gate, contender: Contender, fence: int, asked: float, lasts: float
    ) -> Held:
        """Have the lock, with a fence, for some seconds from when it was asked for."""
        me = whose()
        if self.terms.is_plain:
            fence = 0
        held = Held(self, gate, contender.token, fence, asked, lasts, ref(me))
        if not gate.took_alone(held):
            gate.took(contender, held)
        owner = ref(me if self.thread_local else self, self._drop)
        if gate.shared:
            lay(self._held, owner, held)
        else:
            self._held[owner] = held
        if self.on_lost is not None:
            held.tell(partial(self.on_lost, held))
        keep(held)
        if lockdep.watching:
            lockdep.took(self, held)
        if events.lock_listening:
            held.tell_taken(contender)
        return held

    def _again(self, gate: Gate, me: Any) -> Held | None:
        """Return the holding of this thread or task, entered once more."""
        holding = gate.held
        if not isinstance(holding, Held) or not (self.reentrant or holding.is_pending):
            return None
        if holding.valid and holding.owner() is me:
            holding.count += 1
            self._held[ref(me if self.thread_local else self, self._drop)] = holding
            return holding
        return None

    # Giving back

    def _release(self) -> Plan[None]:
        """Give the lock back, and wake who comes next. One round trip.

        Raises `LockError` where this thread or task has not taken it, and
        `LockNotOwned` where it has lost it.
        """
        held = self.mine("release")
        if held.count > 1:
            held.count -= 1
            if held.is_pending and held.count == 1:
                self.forget(held)
            return
        if (yield from self.ending.puts_off(self, held)):
            return
        while not self.forget(held):
            held = self.mine("release")  # another thread has given that one back
        try:
            yield from held.giving_back()
        finally:
            self.ending.look(self)

    def release(self) -> None:
        if not self._give_back_quickly():
            self._run(self._release())

    async def arelease(self) -> None:
        if not await self._agive_back_quickly():
            await self._arun(self._release())

    release.__doc__ = arelease.__doc__ = _release.__doc__

    def forget(self, held: Held) -> bool:
        """Have nobody find this holding any more; False where nobody did."""
        return take_out(self._held, held)

    def forget_owner(self, owner: ref[Any]) -> None:
        """Forget the holding of a thread or task that is no more."""
        self._held.pop(owner, None)

    def _extend(self, additional_time: float, replace_ttl: bool = False) -> Plan[bool]:
        """Hold it for more seconds, or (`replace_ttl`) for so many from now on.

        See `Held.extend`; raises `LockError` where this thread or task has not got it.
        """
        return self.mine("extend").lengthening(additional_time, replace_ttl)

    extend, aextend = both(_extend)

    def _reacquire(self) -> Plan[bool]:
        """Hold it for a whole lease from now on. See `Held.reacquire`."""
        return self.mine("reacquire").renewing()

    reacquire, areacquire = both(_reacquire)

    def mine(self, what: str) -> Held:
        """Return the holding of this thread or task; raises `LockError`."""
        held = self._held.get(ref(whose() if self.thread_local else self))
        if held is None:
            raise LockError(
                f"Cannot {what} the {self.kind} {self.name!r}: this "
                f"{'thread or task has' if self.thread_local else 'object has'} "
                "not taken it, or has given it back",
                name=self.name,
            )
        return held

    @property
    def local(self) -> SimpleNamespace:
        """What redis-py's locks have: `lock.local.token`, of this thread or task."""
        held = self.held
        return SimpleNamespace(token=None if held is None else held.token)

    @property
    def held(self) -> Held | None:
        """The holding of this thread or task; None where it has none."""
        return self._held.get(ref(whose() if self.thread_local else self))

    # Contexts

    def taken(self) -> Taken:
        """Return a context for what this thread or task has taken already."""
        return Taken(self)

    def __enter__(self) -> Held:
        held = self._take_quickly()
        if held is None:
            raise self._missed()
        return held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.release()
        except (LockError, Unavailable):
            # What went wrong in the body matters more.
            if error is None and self.raise_on_release_error:
                raise

    async def __aenter__(self) -> Held:
        held = await self._atake_quickly()
        if held is None:
            raise self._missed()
        if held.count == 1:
            held.guard = Guard(held)
        return held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        held = self.held
        guard = held.guard if held is not None and held.count == 1 else None
        if held is not None and guard is not None and guard.end():
            # The body was cancelled because the lock was lost, by nobody else.
            if held.count == 1:
                with contextlib.suppress(LockNotOwned, Unavailable):
                    await self.arelease()
            if kind is asyncio.CancelledError:
                raise held.gone() from error
        try:
            await self.arelease()
        except (LockError, Unavailable):
            if error is None and self.raise_on_release_error:
                raise

    def _missed(self) -> LockError:
        return LockError(
            f"The {self.kind} {self.name!r} could not be had within {self.blocking_timeout} s"
            if self.blocking
            else f"The {self.kind} {self.name!r} is taken",
            name=self.name,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _dropping(claim: ref[Claim[Any]]) -> Callable[[ref[Any]], None]:
    """Return what forgets the holding of one that is no more."""

    def drop(owner: ref[Any]) -> None:
        found = claim()
        if found is not None:
            found.forget_owner(owner)

    return drop


class Taken:
    """The end of a `with` for a claim that was taken before it."""

    def __init__(self, claim: Claim[Any]) -> None:
        self._claim = claim

    def __enter__(self) -> Held:
        return self._claim.mine("use")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._claim.__exit__(kind, error, trace)

    async def __aenter__(self) -> Held:
        held = self._claim.mine("use")
        if held.guard is None:
            held.guard = Guard(held)
        return held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._claim.__aexit__(kind, error, trace)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} of a lock must be 0 or more, not {value!r}")
    return value


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0.001:
        raise ValueError(f"{name} of a lock must be at least 0.001 s, not {value!r}")
    return seconds
