"""How a claim is contended for: in this process' line first, then in the server's.

One round trip where nobody else wants it. Who has to wait stands in the server's line
and listens to its mailbox; with a sign of life a second.
"""

from __future__ import annotations

import time
from typing import Generic, TypeVar

from redpony.commands import WAIT
from redpony.errors import (
    LockError,
    NoPermission,
    NoScript,
    ReadOnly,
    ServerError,
    Unavailable,
    UnknownCommand,
)
from redpony.leases import in_ms
from redpony.locks import tokens
from redpony.locks.gate import Contender, Gate, Place
from redpony.locks.running import Running
from redpony.locks.terms import ALIVE, SLICE, Terms
from redpony.plan import Await, Plan, Sleep, Wait

monotonic = time.monotonic

LISTENS = SLICE / 4
"""Seconds that one listens who has not been told how long the holder's lease lasts."""

REPLICATED = 1.0
"""Seconds that replicas have to hear of a holding, where they are asked for."""

PATIENCE = 10.0
"""Seconds that one who waits without end bears with a server that does not answer."""

T = TypeVar("T", bound=Terms)

Found = tuple[int, float, float]
"""A fence, when it was asked for, and for how many seconds from then it is ours."""


class Contending(Running, Generic[T]):
    """What a claim needs to be contended for."""

    kind: str
    terms: T
    timeout: float | None
    lease: float
    replicas: int

    @property
    def _span(self) -> int:
        """The length of a lease on the server, in milliseconds."""
        return in_ms(self.timeout or self.lease)

    def _contend(
        self, gate: Gate, me: Contender, blocking: bool, ends: float | None
    ) -> Plan[Found | None]:
        """Come to the front of this process' line, and then of the server's."""
        while me.place is Place.BEHIND:
            if not blocking or (ends is not None and monotonic() >= ends):
                if gate.shared:
                    break  # who asks may find room, and there may be more of it
                return None
            me.signal.clear()
            if gate.look(me) is not Place.BEHIND:
                break
            waits = None if ends is None else ends - monotonic()
            held = gate.held
            if held is not None and gate.is_first(me):
                # If its holder never gives it back, its time will be over.
                over = held.stands + 0.001
                waits = over if waits is None else min(waits, over)
            # Who waits must not keep alive what its holder has forgotten.
            del held
            yield Await(me.signal, waits)
        me.has_asked = me.has_asked or me.place is not Place.FRONT
        if me.place is Place.GIVEN:
            grant = tokens.grant_of(me.token)
            if still_lasts(me.asked, grant):
                me.handed = True
                return me.fence, me.asked, grant
        if gate.is_crowded and blocking and me.place is Place.FRONT:
            found = yield from self._listen(gate, me, ends)
            if found is not None:
                return found
        elif self.terms.is_plain and blocking and not me.has_asked:
            asked = monotonic()
            me.has_asked = True
            command = self.terms.take(me.token, self.terms.wish(self._span, ALIVE))
            if (yield command) is not None:
                return 0, asked, self.timeout or self.lease
        return (yield from self._ask(gate, me, blocking, ends))

    def _listen(
        self, gate: Gate, me: Contender, ends: float | None
    ) -> Plan[Found | None]:
        """Stand in the server's line and listen, in one flight.

        Where others were in the way a moment ago, they will be: so a turn costs this
        round trip, and the one that ends it.
        """
        terms = self.terms
        asked = monotonic()
        waits = LISTENS if ends is None else min(LISTENS, ends - asked)
        if waits <= 0:
            return None
        exact = waits < LISTENS  # nothing is to be done when it is over but to give up
        me.has_asked = True
        wish = terms.acquire(me.token, self._span, ALIVE, me.waited, listens=True)
        try:
            message = terms.message(me.token, waits)
            first, reply = yield Wait(message, waits, wish, exact=exact)
        except (NoPermission, UnknownCommand):
            raise
        except (Unavailable, ServerError) as error:
            if isinstance(error, Unavailable) and error.outcome != "unknown":
                raise
            return None  # ask how things stand
        seconds = tokens.grant_of(me.token)
        if type(first) is int:
            gate.is_crowded = False
            seconds = self.timeout or self.lease
        elif reply is not None:
            me.handed = True
            first = int(reply[1])
        else:
            return None
        return (first, asked, seconds) if still_lasts(asked, seconds) else None

    def _ask(
        self, gate: Gate, me: Contender, blocking: bool, ends: float | None
    ) -> Plan[Found | None]:
        """Stand in the server's line, if this is not done yet, until it is our turn."""
        terms = self.terms
        seconds = self.timeout or self.lease
        in_line = me.place is Place.IN_LINE
        asked = me.asked
        left = me.left if in_line else None
        trouble: float | None = None
        while True:
            now = monotonic()
            last = not blocking or (ends is not None and now >= ends)
            if not in_line:
                asked = now
                alive = 0.0 if last else ALIVE
                command = terms.acquire(me.token, self._span, alive, me.waited)
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
                if type(reply) is int:
                    if still_lasts(asked, seconds) or last:
                        if left is None:
                            gate.is_crowded = False
                        return reply, asked, seconds
                    continue  # we were stopped: it may be over already
                if last:
                    return None
                gate.is_crowded = True
                left = reply[0]
            in_line = False
            waits = SLICE
            if left is not None and left >= 0:
                waits = min(waits, left / 1000 + 0.001)
            exact = False
            if ends is not None and ends - monotonic() < waits:
                waits, exact = ends - monotonic(), True
            if waits <= 0:
                continue
            try:
                message = terms.message(me.token, waits)
                found = yield Wait(message, waits, exact=exact)
            except (NoPermission, UnknownCommand):
                raise
            except (Unavailable, ServerError):
                # The server was replaced, or has no room: ask how things stand.
                yield Sleep(min(SLICE / 10, waits))
                continue
            if found is not None:
                grant = tokens.grant_of(me.token)
                if still_lasts(asked, grant):
                    me.handed = True
                    return int(found[1]), asked, grant
                # The message was long under way: ask how things stand.

    def _confirmed(self, me: Contender) -> Plan[Found]:
        """See to it that replicas know of a holding; raise `LockError` if they do not.

        `WAIT` is about its own connection's writes, so the lock is taken once more.
        """
        asked = monotonic()
        me.has_asked = True
        seconds = self.timeout or self.lease
        wish = self.terms.acquire(me.token, self._span, 0, 0)
        wait = WAIT(b"%d" % self.replicas, b"%d" % (REPLICATED * 1000))
        try:
            reply, known = yield Wait(wait, REPLICATED, wish)
        except NoScript:
            yield wish
            reply, known = yield Wait(wait, REPLICATED, wish)
        if type(reply) is int and known is not None and known >= self.replicas:
            return reply, asked, seconds
        yield self.terms.cancel(me.token)
        raise LockError(
            f"The {self.kind} {self.name!r} was given back: {known or 0} of "
            f"{self.replicas} replicas had heard of it after {REPLICATED:g} s. Are they "
            "connected? (manage.py redpony status)",
            name=self.name,
        )


def still_lasts(asked: float, seconds: float) -> bool:
    """Whether there is some of a lease left that was asked for at a moment."""
    return asked + seconds - monotonic() > seconds / 8
