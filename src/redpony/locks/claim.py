"""What locks, semaphores and read-write locks have in common: how they are contended for.

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
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from redpony import events
from redpony.alias import Alias, alias_for
from redpony.conf import alias_config
from redpony.errors import (
    LockError,
    LockNotOwned,
    NoPermission,
    ReadOnly,
    RedponyError,
    ServerError,
    Unavailable,
    UnknownCommand,
)
from redpony.leases import Lease, keep, undo
from redpony.locks import tokens
from redpony.locks.gate import Contender, Gate, Place, gate_for
from redpony.locks.guard import Guard
from redpony.locks.held import Held
from redpony.locks.holder import whose
from redpony.locks.holdings import lay, take_out
from redpony.locks.running import Running
from redpony.locks.terms import ALIVE, SLICE, Terms
from redpony.plan import Await, Plan, Sleep, Wait, both

monotonic = time.monotonic

LEASE = 30.0
"""Seconds of a lease that is renewed, where no timeout is given."""

PATIENCE = 10.0
"""Seconds that one who waits without end bears with a server that does not answer."""


T = TypeVar("T", bound=Terms)


class Claim(Running, Generic[T]):
    """Something that is contended for, under a name."""

    kind = "lock"
    """What messages call it."""
    terms: T
    """What it is on the server."""

    def __init__(
        self,
        name: str,
        *,
        using: str | Alias = "default",
        timeout: float | None = None,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        reentrant: bool = False,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
        on_lost: Callable[[Held], object] | None = None,
        lease: float = LEASE,
    ) -> None:
        alias = alias_for(alias_config(using)) if isinstance(using, str) else using
        self.alias = alias
        self.name = name
        self.timeout = _seconds("timeout", timeout)
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self.reentrant = reentrant
        self.thread_local = thread_local
        self.raise_on_release_error = raise_on_release_error
        self.on_lost = on_lost
        self.lease = _seconds("lease", lease) or LEASE
        self._held: WeakKeyDictionary[Any, Held] = WeakKeyDictionary()

    @property
    def gate(self) -> Gate:
        """The line for it in this process."""
        terms = self.terms
        return gate_for(self.alias.link, terms.line, shared=terms.shared)

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
        redis-py's and has no effect: nobody polls. One round trip where the lock is
        free, two where it is handed over. Raises `Unavailable`.
        """
        del sleep
        found = yield from self._take(blocking, blocking_timeout, token)
        return found is not None

    acquire, aacquire = both(_acquire)

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
        if self.reentrant:
            again = self._again(gate, whose())
            if again is not None:
                return again
        if token is None:
            token = tokens.new_token(self.timeout, self.terms.weight)
        elif isinstance(token, str):
            token = token.encode()
        contender = begun or Contender(token)
        ends = None if blocking_timeout is None else contender.since + blocking_timeout
        lease: Lease | None = None
        try:
            while begun is None and not gate.enter(contender):
                gate = self.gate
            lease, fence = yield from self._contend(gate, contender, blocking, ends)
        except BaseException:
            if contender.has_asked:
                # It may be in line, or have the lock, and nobody is here to use it.
                undo(self.alias.link, self.terms.cancel(contender.token))
            raise
        finally:
            if lease is None:
                gate.leave(contender)
        return None if lease is None else self._took(gate, contender, lease, fence)

    def _took(self, gate: Gate, contender: Contender, lease: Lease, fence: int) -> Held:
        """Have the lock."""
        me = whose()
        held = Held(self, self.terms, gate, contender.token, fence, lease, me)
        gate.took(contender, lease, ref(held))
        owner = me if self.thread_local else self
        if gate.shared:
            lay(self._held, owner, held)
        else:
            self._held[owner] = held
        if self.on_lost is not None:
            lease.on_lost.append(partial(self.on_lost, held))
        keep(lease, held)
        return held

    def _take_quickly(self) -> Held | None:
        """Take a lock that nobody here wants, blocking: what most calls come to."""
        gate = self.gate
        me = Contender(tokens.new_token(self.timeout, self.terms.weight), Place.FRONT)
        if self.reentrant or events.listening or not gate.enter_alone(me):
            return self._run(self._take(None, None))
        patience = self.blocking_timeout
        waits = self.blocking and (patience is None or patience > 0)
        seconds = self.timeout or self.lease
        span = max(int(seconds * 1000), 1)
        command = self.terms.acquire(me.token, span, ALIVE if waits else 0, 0)
        asked = monotonic()
        try:
            reply = self.alias.ask(command)
        except BaseException as error:
            undo(self.alias.link, self.terms.cancel(me.token))
            gate.leave(me)
            if isinstance(error, RedponyError):
                self._explain(error)
            raise
        if reply[0] == 1 and _lasts(asked, seconds):
            lease = self._lease(me.token, asked, seconds)
            return self._took(gate, me, lease, int(reply[1]))
        if not waits and reply[0] == 0:
            gate.leave(me)
            return None
        if reply[0] == 0:
            me.asked, me.left, me.place = asked, reply[1], Place.IN_LINE
        me.has_asked = True
        return self._run(self._take(None, None, begun=me))

    def _contend(
        self, gate: Gate, me: Contender, blocking: bool, ends: float | None
    ) -> Plan[tuple[Lease | None, int]]:
        """Come to the front of this process' line, and then of the server's."""
        while me.place is Place.BEHIND:
            if not blocking or (ends is not None and monotonic() >= ends):
                if gate.shared:
                    break  # who asks may find room, and there may be more of it
                return None, 0
            me.signal.clear()
            if gate.look(me) is not Place.BEHIND:
                break
            waits = None if ends is None else ends - monotonic()
            held = gate.held
            if held is not None and gate.is_first(me):
                # If its holder never gives it back, its time will be over.
                over = held.stands + 0.001
                waits = over if waits is None else min(waits, over)
            yield Await(me.signal, waits)
        me.has_asked = me.has_asked or me.place is not Place.FRONT
        if me.place is Place.GIVEN:
            grant = tokens.grant_of(me.token)
            if _lasts(me.asked, grant):
                return self._lease(me.token, me.asked, grant), me.fence
        return (yield from self._ask(me, blocking, ends))

    def _ask(
        self, me: Contender, blocking: bool, ends: float | None
    ) -> Plan[tuple[Lease | None, int]]:
        """Stand in the server's line, if this is not done yet, until it is our turn."""
        terms = self.terms
        seconds = self.timeout or self.lease
        span = max(int(seconds * 1000), 1)
        in_line = me.place is Place.IN_LINE
        asked, left = me.asked, me.left
        trouble: float | None = None
        while True:
            now = monotonic()
            last = not blocking or (ends is not None and now >= ends)
            if not in_line:
                asked = now
                alive = 0.0 if last else ALIVE
                command = terms.acquire(me.token, span, alive, me.waited)
                was_in_line, me.has_asked = me.has_asked, True
                try:
                    reply = yield command
                except (Unavailable, ReadOnly):
                    trouble = trouble or now
                    bears = PATIENCE if ends is None else ends - trouble
                    if last or not was_in_line or now - trouble >= bears:
                        raise
                    yield Sleep(min(SLICE / 10, bears))
                    continue
                trouble = None
                if reply[0] == 1 and not _lasts(asked, seconds) and not last:
                    continue  # we were stopped: it may be over already
                if reply[0] == 1:
                    return self._lease(me.token, asked, seconds), int(reply[1])
                if last:
                    return None, 0
                left = reply[1]
            in_line = False
            waits = SLICE
            if left >= 0:
                waits = min(waits, left / 1000 + 0.001)
            if ends is not None:
                waits = min(waits, ends - monotonic())
            if waits <= 0:
                continue
            try:
                found = yield Wait(terms.message(me.token, waits), waits)
            except (NoPermission, UnknownCommand):
                raise
            except (Unavailable, ServerError):
                continue  # the server was replaced: ask how things stand
            if found is not None:
                grant = tokens.grant_of(me.token)
                if _lasts(asked, grant):
                    return self._lease(me.token, asked, grant), int(found[1])
                # The message was long under way: ask how things stand.

    def _lease(self, token: bytes, asked: float, seconds: float) -> Lease:
        timeout = self.timeout
        return Lease(
            self.alias.link,
            partial(self.terms.extend, token),
            seconds=timeout or self.lease,
            until=asked + seconds,
            # A grant is counted from when the lock was asked for.
            ends=None if timeout is None else asked + timeout,
            name=self.name,
        )

    def _again(self, gate: Gate, me: Any) -> Held | None:
        """Return the holding of this thread or task, entered once more."""
        holding = None if gate.holder is None else gate.holder()
        if isinstance(holding, Held) and holding.owner() is me and holding.valid:
            holding.count += 1
            self._held[me if self.thread_local else self] = holding
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
            return
        while not self.forget(held):
            held = self.mine("release")  # another thread has given that one back
        yield from held.giving_back()

    release, arelease = both(_release)

    def _give_back_quickly(self) -> bool:
        """Give back a lock that nobody here waits for, blocking, if it is that simple."""
        owner = whose() if self.thread_local else self
        held = self._held.get(owner)
        if held is None or held.count > 1 or held.gate.is_contended or events.listening:
            return False
        lease = held.lease
        if lease.remaining <= 0 or len(self._held) > 1:
            return False
        if not self.forget(held):
            return False
        lease.end()
        command = held.terms.release(held.token, b"", 0)
        try:
            reply = self.alias.ask(command)
        except Unavailable as error:
            self._run(held.giving_back(error))
            return True
        finally:
            held.gate.freed(lease)
        if reply[0] != 1:
            raise held.gone()
        return True

    def forget(self, held: Held) -> bool:
        """Have nobody find this holding any more; False where nobody did."""
        return take_out(self._held, held)

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
        held = self._held.get(whose() if self.thread_local else self)
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
        return self._held.get(whose() if self.thread_local else self)

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
            if not self._give_back_quickly():
                self.release()
        except (LockError, Unavailable):
            # What went wrong in the body matters more.
            if error is None and self.raise_on_release_error:
                raise

    async def __aenter__(self) -> Held:
        held: Held | None = await self._arun(self._take(None, None))
        if held is None:
            raise self._missed()
        if held.count == 1:
            held.guard = Guard(held.lease)
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
            held.guard = Guard(held.lease)
        return held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._claim.__aexit__(kind, error, trace)


def _lasts(asked: float, seconds: float) -> bool:
    """Whether there is some of a lease left that was asked for at a moment."""
    return asked + seconds - monotonic() > seconds / 8


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0.001:
        raise ValueError(f"{name} of a lock must be at least 0.001 s, not {value!r}")
    return seconds
