"""`QuorumLock`: a lock on several servers that know nothing of each other (Redlock).

The algorithm is that of the Redis documentation (*Distributed Locks with Redis*), with
a fence in addition:

1. The same token is set on all servers at once, with the same lease. Who has it on a
   majority has the lock, from *before* the first command left until the lease is over,
   less what clocks may differ by: 1 % and 2 ms.
2. Each server gives a fence of its own. The largest of them is the holder's, and before
   the holding counts it is written to a majority (as in the second phase of Attiya, Bar-
   Noy and Dolev, 1995, and of Paxos). The next holder's majority shares a server with
   that one, which gives a larger fence. This is a second round trip.
3. Who gets less takes its token back everywhere, and tries again after a random pause,
   with another token: what is still under way in the name of the last one may be undone.

In a process one contends for all, as for every lock here; between processes there is no
line: who comes next is chance.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import ref

from redpony.alias import Alias, alias_for
from redpony.conf import alias_config
from redpony.errors import Unavailable
from redpony.leases import Lease
from redpony.locks.claim import Claim
from redpony.locks.contending import PATIENCE
from redpony.locks.gate import Contender, Gate, Place, gate_for
from redpony.locks.held import Held
from redpony.locks.holder import whose
from redpony.locks.majority import Majority, is_error, raising
from redpony.locks.quorum_held import QuorumHeld, drift
from redpony.locks.terms import own_key
from redpony.plan import Await, Plan, Sleep, both

monotonic = time.monotonic

FEWEST = 3
"""Servers of a quorum: with two, one that is gone would be one too many."""

PAUSE = 0.02
"""Seconds between two tries at first, at most; it doubles."""

LONGEST = 0.25
"""Seconds that it comes to at most."""


class QuorumLock(Claim[Majority]):
    """A lock on most of several servers, each of its own: Redlock, with a fence.

        with QuorumLock("job", using=["a", "b", "c"]) as held: ...

    `using` are aliases of `CACHES`, three or more. It is had by who has it on a
    majority, so that fewer than half of them may be gone. A server has until its
    `DEADLINE`, and a tenth of the lease, to answer; then it counts as gone. Two round
    trips to take it, and one to give it back, to all servers at once.

    A server that comes back without its data must stay away for the longest lease: it
    may grant what it has granted before. What else follows is in the docs, *Locks*.

    `key` and the other options are those of `Lock`, which it excludes on each of the
    servers, and which excludes it there.
    """

    def __init__(
        self,
        name: str,
        *,
        using: Sequence[str | Alias],
        key: str | None = None,
        timeout: float | None = None,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
        on_lost: Callable[[Held], object] | None = None,
        lease: float | None = None,
    ) -> None:
        aliases = _aliases(using)
        super().__init__(
            name,
            using=aliases[0],
            timeout=timeout,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
            raise_on_release_error=raise_on_release_error,
            on_lost=on_lost,
            lease=lease,
        )
        keys = [
            key or own_key(alias.config.key_prefix, name, "lock") for alias in aliases
        ]
        self.terms = Majority(name, aliases, keys, self.timeout or self.lease)

    @property
    def gate(self) -> Gate:
        """The line for it in this process."""
        gate = self._gate
        if gate is None or gate.is_closed:
            self._gate = gate = gate_for(self.terms.links, self.terms.line)
        return gate

    def _take(
        self,
        blocking: bool | None,
        blocking_timeout: float | None,
        token: str | bytes | None = None,
        begun: Contender | None = None,
    ) -> Plan[Held | None]:
        if token is not None:
            raise ValueError("a QuorumLock makes its own tokens, one for each try")
        if blocking is None:
            blocking = self.blocking
        if blocking_timeout is None:
            blocking_timeout = self.blocking_timeout
        gate = self.gate
        me = Contender(self._token())
        ends = None if blocking_timeout is None else me.since + blocking_timeout
        held: Held | None = None
        try:
            while not gate.enter(me):
                gate = self.gate
            if (yield from _comes_first(gate, me, blocking, ends)):
                held = yield from self._contend_everywhere(gate, me, blocking, ends)
        except BaseException:
            if me.has_asked:
                self.terms.undo(me.token)
            raise
        finally:
            if held is None:
                gate.leave(me)
        return held

    def _contend_everywhere(
        self, gate: Gate, me: Contender, blocking: bool, ends: float | None
    ) -> Plan[Held | None]:
        """Try until it is had."""
        terms = self.terms
        pause = PAUSE
        trouble: float | None = None
        is_first = True
        while True:
            now = monotonic()
            last = not blocking or (ends is not None and now >= ends)
            me.token, me.has_asked = self._token(), True
            held, replies = yield from self._try(gate, me)
            if held is not None:
                return held
            yield from terms.withdraw(me.token, _doubtful(replies))
            me.has_asked = False
            try:
                terms.check(replies)
            except Unavailable:
                trouble = trouble or now
                if last or is_first or now - trouble >= PATIENCE:
                    raise
            else:
                trouble = None
                is_first = False
            if last:
                return None
            waits = random.uniform(pause / 2, pause)  # noqa: S311 (no secret)
            pause = min(pause * 2, LONGEST)
            if ends is not None:
                waits = min(waits, ends - monotonic())
            yield Sleep(max(waits, 0.0))

    def _try(
        self, gate: Gate, me: Contender
    ) -> Plan[tuple[QuorumHeld | None, dict[int, Any]]]:
        """Take it on all servers; return the holding, and what they answered."""
        terms, token, span = self.terms, me.token, self._span
        seconds = self.timeout or self.lease
        asked = monotonic()
        replies = yield from terms.ask(lambda each: each.acquire(token, span, 0, 0))
        fences = {n: reply for n, reply in replies.items() if type(reply) is int}
        if len(fences) < terms.needed:
            return None, replies
        fence = max(fences.values())
        lower = [number for number, each in fences.items() if each < fence]
        raised = yield from terms.ask(raising(token, fence), lower)
        know = [n for n in fences if n not in raised or raised[n] == 1]
        is_late = monotonic() >= asked + seconds * 7 / 8 - drift(seconds)
        if len(know) < terms.needed or is_late:
            return None, replies
        return self._has(gate, me, fence, asked, know), replies

    def _has(
        self, gate: Gate, me: Contender, fence: int, asked: float, servers: list[int]
    ) -> QuorumHeld:
        who = whose()
        held = QuorumHeld(self, gate, me.token, fence, asked, ref(who), servers)
        gate.took(me, held)
        self._held[ref(who if self.thread_local else self, self._drop)] = held
        if self.on_lost is not None:
            held.tell(partial(self.on_lost, held))
        held.keep()
        return held

    def _take_quickly(self) -> Held | None:
        return self._run(self._take(None, None))

    async def _atake_quickly(self) -> Held | None:
        return await self._arun(self._take(None, None))

    def _leave_quickly(self) -> Held | None:
        return None

    # What there is to know

    def _locked(self) -> Plan[bool]:
        """Return whether somebody has it on a majority. One round trip."""
        return (yield from self.terms.taken())

    locked, alocked = both(_locked)

    def _owned(self) -> Plan[bool]:
        """Return whether this thread or task has it on a majority, asking the servers."""
        held = self.held
        if held is None:
            return False
        return (yield from self.terms.has(held.token))

    owned, aowned = both(_owned)


def _aliases(using: Sequence[str | Alias]) -> list[Alias]:
    if isinstance(using, (str, Alias)):
        raise TypeError(
            "using of a QuorumLock is a list of aliases, each of a server of its own, "
            f"not {using!r}"
        )
    found = [
        alias_for(alias_config(each)) if isinstance(each, str) else each
        for each in using
    ]
    if len(found) < FEWEST:
        raise ValueError(
            f"a QuorumLock needs {FEWEST} servers or more, not {len(found)}: with fewer "
            "it is lost with the first of them. For one server there is Lock"
        )
    seen: dict[str, str] = {}
    for alias in found:
        for address in _addresses(alias):
            other = seen.setdefault(address, alias.name)
            if other != alias.name or found.count(alias) > 1:
                raise ValueError(
                    f'the aliases "{other}" and "{alias.name}" of a QuorumLock are on the '
                    f"same server ({address}): each has to be on one of its own"
                )
    return found


def _addresses(alias: Alias) -> set[str]:
    """Return where the servers of an alias are, as far as is known."""
    known = {str(node.config.address) for node in alias.link.nodes()}
    return known or {str(alias.link.config.address)}


def _comes_first(
    gate: Gate, me: Contender, blocking: bool, ends: float | None
) -> Plan[bool]:
    """Wait until nobody of this process is before us; False where that lasts too long."""
    while me.place is Place.BEHIND:
        if not blocking or (ends is not None and monotonic() >= ends):
            return False
        me.signal.clear()
        if gate.look(me) is not Place.BEHIND:
            break
        waits = None if ends is None else ends - monotonic()
        held: Lease | None = gate.held
        if held is not None and gate.is_first(me):
            # If its holder never gives it back, its time will be over.
            over = held.stands + 0.001
            waits = over if waits is None else min(waits, over)
        yield Await(me.signal, waits)
    return True


def _doubtful(replies: dict[int, Any]) -> list[int]:
    """Return which servers have a token, or may have it."""
    return [
        number
        for number, reply in replies.items()
        if type(reply) is int or (is_error(reply) and reply.outcome == "unknown")
    ]
