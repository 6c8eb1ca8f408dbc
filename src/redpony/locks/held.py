"""A lock that one has: what `with Lock(...) as held` gives."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import ref

from redpony.errors import LockError, LockLost, Unavailable
from redpony.leases import Lease, Lost
from redpony.locks.gate import Gate, Place
from redpony.locks.guard import Guard
from redpony.locks.running import Running
from redpony.locks.terms import Terms
from redpony.plan import Plan, both

if TYPE_CHECKING:
    from redpony.locks.claim import Claim

monotonic = time.monotonic


class Held(Running):
    """One holding of a lock, from its acquisition to its release.

    `fence` is larger than that of every holder before, over restarts and loss of data
    as well: hand it to what you write to, and let that refuse smaller ones. `lost` is
    set if the lease is over before you give the lock back.
    """

    def __init__(
        self,
        lock: Claim[Any],
        terms: Terms,
        gate: Gate,
        token: bytes,
        fence: int,
        lease: Lease,
        owner: Any,
    ) -> None:
        self._lock = ref(lock)
        self.alias = lock.alias
        self.name = lock.name
        self.kind = lock.kind
        self.terms = terms
        self.gate = gate
        self.token = token
        self.fence = fence
        self.lease = lease
        self.owner = ref(owner)
        """The thread or task that took it, as long as there is one."""
        self.count = 1
        self.under: Held | None = None
        """What its owner has of the same semaphore besides, and has had for longer."""
        self.depth = 1
        self.guard: Guard | None = None

    @property
    def lost(self) -> Lost:
        """The mark that is set when the lock is lost."""
        return self.lease.lost

    @property
    def local(self) -> SimpleNamespace:
        """What redis-py's locks have: `lock.local.token`, None once it is given back."""
        return SimpleNamespace(token=None if self.lease.is_over else self.token)

    @property
    def remaining(self) -> float:
        """Seconds for which the lock is surely held; 0 where it is not."""
        return self.lease.remaining

    @property
    def valid(self) -> bool:
        """Whether the lock is surely held at this moment, by this process' clock."""
        return self.lease.remaining > 0

    def check(self) -> None:
        """Raise `LockLost` if the lock is not surely held any more. No round trip."""
        if self.lease.remaining <= 0:
            raise self.gone()

    def gone(self) -> LockLost:
        """Return the error of a lock that was lost while it was believed to be held."""
        why = self.lost.reason
        if self.lease.is_parents:
            why = "this process was forked by the one that has it"
        elif not why:
            over = self.lease.until <= monotonic()
            why = "its time was over" if over else "somebody else has ended it"
        return LockLost(
            f"The {self.kind} {self.name!r} was lost while it was held: {why}. Somebody "
            "else may have had it meanwhile; what was written in the name of fence "
            f"{self.fence} is safe only where smaller fences are refused.",
            name=self.name,
        )

    # What the server says

    def _locked(self) -> Plan[bool]:
        """Return whether anybody has the lock. One round trip."""
        return (yield from self.terms.taken())

    locked, alocked = both(_locked)

    def _owned(self) -> Plan[bool]:
        """Return whether this holding is the server's, too. One round trip."""
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
        seconds = self.lease.seconds
        yield from self._set(monotonic() + seconds)
        return True

    def _ends(self, what: str) -> float:
        """Return when its time is over; raises `LockError` where it is renewed."""
        ends = self.lease.ends
        if ends is None:
            raise LockError(
                f"The {self.kind} {self.name!r} is renewed until it is given back: there "
                f"is nothing to {what}. (Give it a timeout to hold it so long at most.)",
                name=self.name,
            )
        return ends

    def _set(self, ends: float) -> Plan[None]:
        lease = self.lease
        if lease.remaining <= 0:
            raise self.gone()
        now = monotonic()
        span = ends - now
        command = self.terms.extend(self.token, max(int(span * 1000), 1))
        if not (yield command):
            lease.lose("somebody else has ended it")
            raise self.gone()
        lease.until = ends
        lease.ends = ends

    # Giving back

    def _release(self) -> Plan[None]:
        """Give it back, and wake who comes next. One round trip.

        Raises `LockNotOwned` where it was lost, or given back before.
        """
        lock = self._lock()
        if lock is not None:
            lock.forget(self)
        yield from self.giving_back()

    release, arelease = both(_release)

    def giving_back(self, doubt: Unavailable | None = None) -> Plan[None]:
        """Give it back, and wake who comes next. Raises `LockNotOwned`.

        `doubt` is what became of a first try.
        """
        lease, gate, terms = self.lease, self.gate, self.terms
        if lease.is_parents:
            raise self.gone()
        was_lost = lease.stands <= 0
        lease.end()
        token, mine = self.token, True
        try:
            while True:
                after = None if was_lost else gate.following(lease)
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
                if mine and not reply[0] and (doubt is None or was_lost):
                    raise self.gone()
                mine = False
                if after is None or reply[0] < 2:
                    return
                if reply[0] == 2:
                    if gate.give(after, Place.GIVEN, int(reply[1]), asked):
                        return
                    token = after.token  # it gave up meanwhile: on to the next
                elif gate.give(after, Place.IN_LINE, 0, asked):
                    return
                else:
                    yield terms.cancel(after.token)
                    return
        finally:
            gate.freed(lease)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "held" if self.valid else "given back"
        return f"<Held {self.name!r} {state} fence={self.fence}>"


def _seconds(value: float) -> float:
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(f"additional_time must be a number of seconds, not {value!r}")
    return seconds
