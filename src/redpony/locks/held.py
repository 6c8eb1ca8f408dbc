"""A lock that one has: what `with Lock(...) as held` gives."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import ref

from redpony import events
from redpony.commands import Command
from redpony.errors import (
    LockError,
    LockLost,
    NoPermission,
    RedponyError,
    Unavailable,
    UnknownCommand,
)
from redpony.leases import Lease, undo
from redpony.locks.gate import Contender, Gate, Place
from redpony.locks.guard import Guard
from redpony.locks.running import Running
from redpony.locks.terms import Terms
from redpony.plan import Plan, both

if TYPE_CHECKING:
    from redpony.locks.claim import Claim

monotonic = time.monotonic


class Held(Lease, Running):
    """One holding of a lock, from its acquisition to its release.

    `fence` is larger than that of every holder before, over restarts and loss of data
    as well: hand it to what you write to, and let that refuse smaller ones. `lost` is
    set if the lease is over before you give the lock back. `remaining` is for how many
    seconds the lock is surely held, by this process' clock.
    """

    count = 1
    """How often it was entered."""
    guard: Guard | None = None
    under: Held | None = None
    """What its owner has of the same semaphore besides, and has had for longer."""
    depth = 1
    is_pending = False
    """Whether it is to be given back when a transaction is over."""
    is_given = False
    """Whether the server's own command has given it back."""
    since = 0.0
    """When it was taken, where anybody listens to that."""

    def __init__(
        self,
        lock: Claim[Any],
        gate: Gate,
        token: bytes,
        fence: int,
        asked: float,
        lasts: float,
        owner: ref[Any],
    ) -> None:
        timeout = lock.timeout
        self.link = lock.alias.link
        self.name = lock.name
        self.seconds = timeout or lock.lease
        self.until = asked + lasts
        # Counted from when it was asked for.
        self.ends = None if timeout is None else asked + timeout
        self._lock = ref(lock)
        self.alias = lock.alias
        self.kind = lock.kind
        self.terms: Terms = lock.terms
        self.gate = gate
        self.token = token
        self._fence = fence
        self.owner = owner
        """The thread or task that took it, as long as there is one."""

    def renewal(self, milliseconds: int) -> Command:
        return self.terms.extend(self.token, milliseconds)

    @property
    def local(self) -> SimpleNamespace:
        """What redis-py's locks have: `lock.local.token`, None once it is given back."""
        return SimpleNamespace(token=None if self.is_over else self.token)

    @property
    def fence(self) -> int:
        """The fencing token; raises `LockError` where the lock is a plain one."""
        if self._fence:
            return self._fence
        raise LockError(
            f"The {self.kind} {self.name!r} is plain, and has no fence: make it without "
            "plain=True",
            name=self.name,
        )

    @property
    def valid(self) -> bool:
        """Whether the lock is surely held at this moment, by this process' clock."""
        return self.remaining > 0

    def check(self) -> None:
        """Raise `LockLost` if the lock is not surely held any more. No round trip."""
        if self.remaining <= 0:
            raise self.gone()

    def gone(self) -> LockLost:
        """Return the error of a lock that was lost while it was believed to be held."""
        why = self.lost.reason
        if self.is_parents:
            why = "this process was forked by the one that has it"
        elif not why:
            over = self.until <= monotonic()
            why = "its time was over" if over else "somebody else has ended it"
        return LockLost(
            f"The {self.kind} {self.name!r} was lost while it was held: {why}. Somebody "
            "else may have had it meanwhile; what was written in the name of "
            f"{f'fence {self._fence}' if self._fence else 'a fence'} is safe only where "
            "smaller fences are refused.",
            name=self.name,
        )

    # What others are told

    def tell_taken(self, contender: Contender) -> None:
        """Emit the event of its acquisition."""
        self.since = monotonic()
        waited, handed = self.since - contender.since, contender.handed
        events.emit(
            events.LockAcquired(self.alias.name, self.name, self.kind, waited, handed)
        )

    def tell_given_back(self) -> None:
        """Emit the event of its end, where its beginning was told."""
        since, self.since = self.since, 0.0
        if since:
            held = monotonic() - since
            events.emit(
                events.LockReleased(self.alias.name, self.name, self.kind, held)
            )

    def lose(self, reason: str) -> None:
        is_news = not (self.is_over or self.is_lost)
        super().lose(reason)
        if is_news:
            self.tell_lost(reason)

    def tell_lost(self, reason: str) -> None:
        """Emit the event of its loss."""
        self.since = 0.0
        events.emit(events.LockLost(self.alias.name, self.name, self.kind, reason))

    def found_gone(self) -> LockLost:
        """Tell that it was found lost when it was given back; return the error."""
        if not self.is_lost:
            over = self.until <= monotonic()
            self.tell_lost("its time is over" if over else "somebody else has ended it")
        return self.gone()

    # What the server says

    def _locked(self) -> Plan[bool]:
        """Return whether anybody has the lock. One round trip."""
        return (yield from self.terms.taken())

    locked, alocked = both(_locked)

    def _owned(self) -> Plan[bool]:
        """Return whether this holding is the server's, too. One round trip."""
        if self.is_parents:
            return False
        return (yield from self.terms.has(self.token))

    owned, aowned = both(_owned)

    # For longer

    def _extend(self, additional_time: float, replace_ttl: bool = False) -> Plan[bool]:
        """Hold it for more seconds, or (`replace_ttl`) for so many from now on.

        One round trip; returns True, as redis-py does. Raises `LockNotOwned` where it
        is lost, and `LockError` where its lease is renewed and has no end.
        """
        return (yield from self.lengthening(additional_time, replace_ttl))

    extend, aextend = both(_extend)

    def lengthening(self, additional_time: float, replace_ttl: bool) -> Plan[bool]:
        """The plan of `extend`."""
        ends = self._ends("extend")
        now = monotonic()
        seconds = _seconds(additional_time)
        yield from self._set(now + seconds if replace_ttl else ends + seconds)
        return True

    def _reacquire(self) -> Plan[bool]:
        """Hold it for a whole lease from now on. One round trip; errors as `extend`'s."""
        return (yield from self.renewing())

    reacquire, areacquire = both(_reacquire)

    def renewing(self) -> Plan[bool]:
        """The plan of `reacquire`."""
        self._ends("reacquire")
        seconds = self.seconds
        yield from self._set(monotonic() + seconds)
        return True

    def _ends(self, what: str) -> float:
        """Return when its time is over; raises `LockError` where it is renewed."""
        ends = self.ends
        if ends is None:
            raise LockError(
                f"The {self.kind} {self.name!r} is renewed until it is given back: there "
                f"is nothing to {what}. (Give it a timeout to hold it so long at most.)",
                name=self.name,
            )
        return ends

    def _set(self, ends: float) -> Plan[None]:
        if self.remaining <= 0:
            raise self.gone()
        now = monotonic()
        # Whole milliseconds, as the server counts them, and no longer than was asked for.
        milliseconds = max(int((ends - now) * 1000), 1)
        if not (yield self.renewal(milliseconds)):
            self.lose("somebody else has ended it")
            raise self.gone()
        self.until = now + milliseconds / 1000
        if self.ends is not None:
            self.ends = ends

    # Giving back

    def _release(self) -> Plan[None]:
        """Give it back, and wake who comes next. One round trip.

        Raises `LockNotOwned` where it was lost, or given back before.
        """
        lock = self._lock()
        if lock is None:
            yield from self.giving_back()
            return
        if (yield from lock.ending.puts_off(lock, self)):
            return
        lock.forget(self)
        try:
            yield from self.giving_back()
        finally:
            lock.ending.look(lock)

    release, arelease = both(_release)

    def let_go(self) -> None:
        """Give it back, blocking, whoever holds it. Raises `LockNotOwned`."""
        self._run(self.giving_back())

    def giving_back(self, met: RedponyError | None = None) -> Plan[None]:
        """Give it back, and wake who comes next. Raises `LockNotOwned`.

        `met` is what became of a first try.
        """
        gate, terms = self.gate, self.terms
        if self.is_parents:
            raise self.gone()
        was_lost, was_told = self.stands <= 0, self.is_lost
        is_second = self.is_over and met is None
        self.end()
        doubt = met if isinstance(met, Unavailable) else None
        try:
            if terms.is_plain and met is None and not was_lost:
                doubt = yield from self._giving_natively()
                if doubt is None and self.is_given:
                    return
            if not (yield from self._passing_on(doubt, was_lost=was_lost)):
                raise self.gone() if is_second else self.found_gone()
            if was_told:
                # The server's clock had a moment left; but everybody was told.
                raise self.gone()
        except RedponyError:
            raise
        except BaseException:
            # Interrupted before it was done, perhaps: nobody else would do it.
            undo(self.alias.link, terms.cancel(self.token))
            raise
        finally:
            gate.freed(self)
            if self.since:
                self.tell_given_back()

    def _passing_on(self, doubt: Unavailable | None, *, was_lost: bool) -> Plan[bool]:
        """Give it back to whoever comes next; return whether it was ours."""
        gate, terms = self.gate, self.terms
        token, mine = self.token, True
        while True:
            after = None if was_lost else gate.following(self)
            asked = monotonic()
            command = terms.release(
                token,
                after.token if after else b"",
                after.waited if after else 0.0,
            )
            try:
                if doubt is not None and doubt.outcome != "unknown":
                    raise doubt
                reply = yield command
            except Unavailable as error:
                if doubt is not None or error.outcome != "unknown":
                    raise
                # Whether it was done is seen when it is done again.
                doubt = error
                continue
            except RedponyError:
                raise
            except BaseException:
                # Cancelled, or Ctrl-C: the server may have given it to one who is gone.
                if after is not None and after.place is Place.GONE:
                    undo(self.alias.link, terms.cancel(after.token))
                if token != self.token:
                    undo(self.alias.link, terms.cancel(token))
                raise
            if mine and reply == 0 and (doubt is None or was_lost):
                return False
            mine = False
            if after is None or reply in (0, 1):
                return True
            if type(reply) is list:
                if gate.give(after, Place.GIVEN, int(reply[0]), asked):
                    return True
                token = after.token  # it gave up meanwhile: on to the next
            elif gate.give(after, Place.IN_LINE, 0, asked):
                return True
            else:
                yield terms.cancel(after.token)
                return True

    def _giving_natively(self) -> Plan[Unavailable | None]:
        """Try to give a plain lock back by the server's own command; return the doubt."""
        natively = self.terms.give_natively(self.link, self.token)
        if natively is None or self.gate.is_contended:
            return None
        try:
            self.is_given = (yield natively) == 1
        except (UnknownCommand, NoPermission):
            pass  # the server was replaced by an older one, or its rules are older
        except Unavailable as error:
            return error
        return None

    def __repr__(self) -> str:
        state = "lost" if self.is_lost else "held" if self.valid else "given back"
        return f"<Held {self.name!r} {state} fence={self._fence or None}>"


def _seconds(value: float) -> float:
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(f"additional_time must be a number of seconds, not {value!r}")
    return seconds
