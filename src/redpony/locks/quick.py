"""The short way of most calls: a lock that nobody else in this process wants.

It does what the plans of `redpony.locks.claim` do, without what they do it with: one
command, and the holding. Whatever is not as simple as that goes by the plan, and so does
who finds the lock taken, or meets an error when giving it back. Both colours walk the
same steps; between them is the round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from redpony import events
from redpony.alias import Alias
from redpony.commands import Command
from redpony.errors import NoPermission, RedponyError, Unavailable, UnknownCommand
from redpony.leases import undo
from redpony.locks import lockdep
from redpony.locks.contending import Contending, still_lasts
from redpony.locks.gate import Contender, Gate, Place
from redpony.locks.holder import whose
from redpony.locks.terms import ALIVE, Terms, Wish
from redpony.plan import Plan

if TYPE_CHECKING:
    from redpony.locks.ending import Ending
    from redpony.locks.held import Held

T = TypeVar("T", bound=Terms)

FAILED = (Unavailable, UnknownCommand, NoPermission)
"""What giving back may meet without the lock being lost."""


class Quick(Contending[T]):
    """Taking and giving back where nobody is in the way."""

    alias: Alias
    blocking: bool
    blocking_timeout: float | None
    reentrant: bool
    thread_local: bool
    ending: Ending
    _held: dict[ref[Any], Held]
    _wish: Wish | None = None

    # Taking

    def _take_quickly(self) -> Held | None:
        """Take it, blocking, as the object was told to; None if it could not be had."""
        me = self._enter_quickly()
        if me is None:
            return self._run(self._take(None, None))
        try:
            reply = self.alias.ask(self._wished(me))
        except BaseException as error:
            self._withdraw(me, error)
            raise
        found = self._seen(me, reply)
        if found is me:
            return self._run(self._take(None, None, begun=me))
        return found  # type: ignore[return-value]

    async def _atake_quickly(self) -> Held | None:
        """Take it; the other colour."""
        me = self._enter_quickly()
        if me is None:
            return await self._arun(self._take(None, None))
        try:
            reply = await self.alias.link.awaiting.ask(self._wished(me))
        except BaseException as error:
            self._withdraw(me, error)
            raise
        found = self._seen(me, reply)
        if found is me:
            return await self._arun(self._take(None, None, begun=me))
        return found  # type: ignore[return-value]

    def _enter_quickly(self) -> Contender | None:
        """Be the only one here who wants it; None where it is not that simple."""
        gate = self.gate
        if (
            gate.is_crowded
            or events.listening
            or lockdep.watching
            or not self._is_simple
        ):
            return None
        me = Contender(self._token(), Place.FRONT)
        return me if gate.enter_alone(me) else None

    def _wished(self, me: Contender) -> Command:
        wish = self._wish
        if wish is None:
            self._wish = wish = self.terms.wish(self._span, ALIVE if self._waits else 0)
        return self.terms.take(me.token, wish)

    def _withdraw(self, me: Contender, error: BaseException) -> None:
        """Nobody heard the answer: it may be ours, or we may be in line."""
        undo(self.alias.link, self.terms.cancel(me.token))
        self.gate.leave(me)
        if isinstance(error, RedponyError):
            self._explain(error)

    def _seen(self, me: Contender, reply: Any) -> Held | Contender | None:
        """Return the holding, the contender if it has to wait, None if it does not."""
        gate, asked = self.gate, me.since
        is_list = type(reply) is list
        if reply is not None and not is_list:
            seconds = self.timeout or self.lease
            if still_lasts(asked, seconds):
                # A plain lock's answer is no fence.
                fence = reply if type(reply) is int else 0
                return self._took(gate, me, fence, asked, seconds)
        elif not self._waits:
            gate.leave(me)
            return None
        else:
            gate.is_crowded = True
            if is_list:
                me.asked, me.left, me.place = asked, reply[0], Place.IN_LINE
        me.has_asked = True
        gate.stay(me)
        return me

    @property
    def _waits(self) -> bool:
        """Whether who finds it taken waits, where the call does not say."""
        patience = self.blocking_timeout
        return self.blocking and (patience is None or patience > 0)

    @property
    def _is_simple(self) -> bool:
        """Whether the quick way does all that was asked for.

        It is for a script to say what became of a plain lock that nobody waits for.
        """
        if self.reentrant or self.replicas or self.ending.waits:
            return False
        return self._waits or not self.terms.is_plain

    # Giving back

    def _give_back_quickly(self) -> bool:
        """Give it back, blocking; False if it is not that simple."""
        held = self._leave_quickly()
        if held is None:
            return False
        ask, terms, token = self.alias.ask, self.terms, held.token
        natively = terms.give_natively(self.alias.link, token)
        try:
            reply = ask(natively or terms.give(token))
            if reply != 1 and natively is not None:
                reply = ask(terms.give(token))
        except FAILED as error:
            self._run(held.giving_back(error))
            return True
        except BaseException:
            # Interrupted before it was done, perhaps: nobody else would do it.
            undo(self.alias.link, held.terms.cancel(token))
            raise
        finally:
            held.gate.freed(held)
        self._has_given_back(held, reply)
        return True

    async def _agive_back_quickly(self) -> bool:
        """Give it back; the other colour."""
        held = self._leave_quickly()
        if held is None:
            return False
        ask, terms, token = self.alias.link.awaiting.ask, self.terms, held.token
        natively = terms.give_natively(self.alias.link, token)
        try:
            reply = await ask(natively or terms.give(token))
            if reply != 1 and natively is not None:
                reply = await ask(terms.give(token))
        except FAILED as error:
            await self._arun(held.giving_back(error))
            return True
        except BaseException:
            undo(self.alias.link, held.terms.cancel(token))
            raise
        finally:
            held.gate.freed(held)
        self._has_given_back(held, reply)
        return True

    def _leave_quickly(self) -> Held | None:
        """Forget the holding that is to be given back; None where that is not simple."""
        if self.ending.waits:
            return None
        owner = ref(whose() if self.thread_local else self)
        held = self._held.get(owner)
        if held is None or held.count > 1 or events.listening or len(self._held) > 1:
            return None
        if held.gate.is_contended or held.remaining <= 0 or not self.forget(held):
            return None
        held.end()
        return held

    def _has_given_back(self, held: Held, reply: Any) -> None:
        if reply != 1:
            raise held.found_gone()
        if held.since:
            held.tell_given_back()
        self.ending.look(self)  # type: ignore[arg-type]

    # What the plans are, and what they have in common with this

    @property
    def gate(self) -> Gate:
        """The line for it in this process."""
        raise NotImplementedError

    def forget(self, held: Held) -> bool:
        """Have nobody find this holding any more; False where nobody did."""
        raise NotImplementedError

    def _token(self) -> bytes:
        raise NotImplementedError

    def _take(
        self,
        blocking: bool | None,
        blocking_timeout: float | None,
        token: str | bytes | None = None,
        begun: Contender | None = None,
    ) -> Plan[Held | None]:
        raise NotImplementedError

    def _took(
        self, gate: Gate, contender: Contender, fence: int, asked: float, lasts: float
    ) -> Held:
        raise NotImplementedError
