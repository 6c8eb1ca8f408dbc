"""`Leader`: one process of many leads, and another one follows when it is gone.

A leadership is a lock whose lease is renewed, and everybody who would lead waits for
it. So what holds for locks holds here: who was stopped for longer than the lease may
wake up in the middle of its work while another one leads, and knows it by its own
clock; `held.fence` is for what must be correct all the same. Who leads stands in the
token, so that to ask for it is one GET.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from redpony.alias import Alias
from redpony.errors import LockError, LockLost, LockNotOwned, Unavailable, WriteRefused
from redpony.locks import tokens
from redpony.locks.held import Held
from redpony.locks.lock import Lock
from redpony.locks.running import Running, alias_of
from redpony.locks.terms import own_key
from redpony.plan import Plan, Sleep, both

logger = logging.getLogger("redpony")

R = TypeVar("R")

LEASE: Final = 15.0
"""Seconds of a leadership's lease: how long there is no leader after one has died."""

TURN: Final = 2.0
"""Seconds of one turn of a campaign; how late a campaign learns that it was stopped."""

PAUSES: Final = (0.1, 0.2, 0.5, 1.0, TURN)
"""Seconds between two tries at a server that cannot be asked."""


class Leadership(Lock):
    """The lock that a leader has."""

    kind = "leadership"

    def turn(self, token: bytes) -> Plan[Held | None]:
        """The plan of one turn of a campaign."""
        return (yield from self._take(True, TURN, token))


class Leader(Running):
    """One of those who would lead under a name; at most one of all processes does.

        leader = Leader("scheduler", identity="web-1")
        leader.run(work)            # work(held), while it leads; for ever
        await leader.arun(work)     # work is a coroutine function
        with leader as held: ...    # waits until it leads; async with as well

    * `identity`: what `leader()` tells the others; the host and process if not given.
    * `lease`: in seconds; renewed every third of it. A leader that died is replaced
      when its lease is over, one that resigned at once.
    * `on_elected`: called with the holding by who campaigns, before the body.
    * `on_lost`: called with the holding if it is lost, by the thread that looks after
      leases, while the body may still run; do not block it.
    * `using`: the alias of `CACHES` whose server it lives on; by default
      `REDPONY["LOCKS"]["ALIAS"]`.

    One object is for one campaign at a time; once stopped it stays so.
    """

    def __init__(
        self,
        name: str,
        *,
        identity: str | None = None,
        lease: float = LEASE,
        on_elected: Callable[[Held], object] | None = None,
        on_lost: Callable[[Held], object] | None = None,
        using: str | Alias | None = None,
    ) -> None:
        self.name = name
        self.identity = identity
        self.on_elected = on_elected
        self._sign = tokens.signer(identity)
        self.alias = found = alias_of(using)
        key = own_key(found.config.key_prefix, name, "leader")
        self._lock = Leadership(
            name, using=found, key=key, lease=lease, on_lost=on_lost
        )
        self._held: Held | None = None
        self._is_stopped = False

    # What there is to know

    @property
    def held(self) -> Held | None:
        """The holding of the one who leads by this object; None where it does not."""
        held = self._held
        return held if held is not None and held.valid else None

    @property
    def is_leader(self) -> bool:
        """Whether it leads at this moment, surely, by this process' clock.

        No round trip. What is done after it was asked may still come too late.
        """
        return self.held is not None

    @property
    def fence(self) -> int | None:
        """The fence of its leadership; None where it does not lead. No round trip."""
        held = self.held
        return None if held is None else held.fence

    def _leader(self) -> Plan[str | None]:
        """Return the identity of who leads, None where nobody does. One round trip."""
        token = yield from self._lock.terms.owner()
        return None if token is None else tokens.signature(token)

    leader, aleader = both(_leader)

    # Leading

    def run(self, body: Callable[[Held], R]) -> R | None:
        """Campaign, call `body(held)` once it leads, and campaign again after a loss.

        Returns what the body returns, having resigned; what it raises comes out of
        here as well. A body cannot be cancelled: it looks at `held.lost` now and then,
        or calls `held.check()`, and ends when it is lost. `stop` has it return None. A
        server that cannot be asked is asked again, with pauses of up to 2 s.
        """
        while (held := self._run(self._campaign())) is not None:
            term = Term[R](self, held)
            with term, self._lock.taken():
                self._began(held)
                term.end(body(held))
            if term.is_done:
                return term.result
        return None

    async def arun(self, body: Callable[[Held], Awaitable[R]]) -> R | None:
        """Campaign, await `body(held)` once it leads, and campaign again after a loss.

        As `run`; the body is cancelled when the leadership is lost or resigned.
        """
        while (held := await self._arun(self._campaign())) is not None:
            with Term[R](self, held) as term:
                async with self._lock.taken():
                    self._began(held)
                    term.end(await body(held))
            if term.is_done:
                return term.result
        return None

    def resign(self) -> None:
        """Have the body end, which gives the leadership to whoever comes next.

        `held.lost` is set, and the body of asyncio is cancelled. `run` campaigns again,
        behind all others. No round trip; from any thread, or a signal's handler.
        """
        held = self._held
        if held is not None:
            held.lose("it has resigned")

    def stop(self) -> None:
        """Resign, and campaign no more: `run` returns within 2 s of its body's end."""
        self._is_stopped = True
        self.resign()

    def __enter__(self) -> Held:
        held = self._elected(self._run(self._campaign()))
        try:
            self._began(held)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held = None
        self._lock.__exit__(kind, error, trace)

    async def __aenter__(self) -> Held:
        held = self._elected(await self._arun(self._campaign()))
        await self._lock.taken().__aenter__()
        try:
            self._began(held)
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held = None
        await self._lock.__aexit__(kind, error, trace)

    # Campaigning

    def _campaign(self) -> Plan[Held | None]:
        """Wait until it leads; None where it was stopped."""
        failures = 0
        while not self._is_stopped:
            token = self._sign(tokens.new_token(None))
            try:
                held = yield from self._lock.turn(token)
            except (Unavailable, WriteRefused) as error:
                if not failures:
                    logger.warning("Nobody can be elected %r: %s", self.name, error)
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                failures += 1
                yield Sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                continue
            failures = 0
            if held is not None:
                return held
        return None

    def _elected(self, held: Held | None) -> Held:
        if held is None:
            raise LockError(
                f"The campaign for {self.name!r} was stopped.", name=self.name
            )
        return held

    def _began(self, held: Held) -> None:
        held.lost  # noqa: B018 (a signal's handler must not have to make it)
        self._held = held
        if self._is_stopped:  # since it was elected
            self.resign()
        if self.on_elected is not None:
            self.on_elected(held)

    def ended(self, held: Held) -> None:
        """Say that a leadership is over."""
        if self._held is held:
            self._held = None

    def __repr__(self) -> str:
        return f"<Leader {self.name!r}{' leads' * self.is_leader}>"


class Term(Generic[R]):
    """One leadership of `run`: what became of its body."""

    def __init__(self, leader: Leader, held: Held) -> None:
        self._leader = leader
        self._held = held
        self._has_returned = False
        self.result: R | None = None
        self.is_done = False
        """Whether the body returned while it led."""

    def end(self, result: R) -> None:
        """The body has returned."""
        self.result = result
        self._has_returned = True
        self.is_done = self._held.valid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._leader.ended(self._held)
        if self._has_returned:
            # It was not given back, or was gone: its lease is over in time.
            return isinstance(error, (LockNotOwned, Unavailable))
        return isinstance(error, LockLost) and error.lock_name == self._leader.name
