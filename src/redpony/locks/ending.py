"""When a lock is given back: now, or when the database's transaction is over.

A lock that is given back inside a transaction lets the next holder in before it can see
what this one wrote. With `release="on_commit"` it is kept until then (see
`redpony.commit`); without, there is a warning, once for each place, as Python has it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import warnings
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from redpony import commit
from redpony.errors import InvalidSetting, LockNotOwned, ReleasedInTransaction
from redpony.leases import undo
from redpony.plan import Invoke, Plan, Raised

if TYPE_CHECKING:
    from redpony.locks.claim import Claim
    from redpony.locks.held import Held

logger = logging.getLogger("redpony")

Release = Literal["now", "on_commit"]

HERE: Final = str(Path(__file__).parents[1])


class Ending:
    """When what is held under a claim is given back."""

    def __init__(
        self, claim: Claim[Any] | None, release: Release | None, database: str
    ) -> None:
        if claim is not None and release not in get_args(Release):
            raise InvalidSetting(
                f'release of the {claim.kind} {claim.name!r} must be "on_commit" (given '
                'back when the transaction of its database is over) or "now", '
                f"not {release!r}"
            )
        self.waits = release == "on_commit"
        """Whether it is kept until a transaction is over."""
        self._may_warn = release is None
        self._database = database
        if claim is not None and self.waits and not commit.is_known(database):
            raise InvalidSetting(
                f"database of the {claim.kind} {claim.name!r} must be an alias of "
                f"DATABASES, not {database!r}"
            )

    def puts_off(self, claim: Claim[Any], held: Held) -> Plan[bool]:
        """Keep it until the transaction is over; False where it is to be given back.

        One round trip where it is kept: it raises `LockLost` if it is lost.
        """
        if not self.waits or held.remaining <= 0:
            return False
        if not held.is_pending:
            there = There(partial(self._keep, held), partial(_let_go, claim, held))
            outcome = yield Invoke(lambda: there)
            if isinstance(outcome, Raised):
                raise outcome.error
            # A driver that blocks hands it back as it is: we are in its thread.
            kept = there.call() if outcome.value is there else outcome.value
            if not kept:
                return False
        claim.forget(held)
        if not (yield from held.terms.has(held.token)):
            held.lose("somebody else has ended it")
            raise held.gone()
        return True

    def _keep(self, held: Held) -> bool:
        """Keep it, if this thread is in a transaction."""
        if not commit.is_open(self._database):
            return False
        held.is_pending = True
        commit.when_over(partial(_give_back, held), self._database)
        return True

    def look(self, claim: Claim[Any]) -> None:
        """Warn if it was given back inside a transaction."""
        if not self._may_warn:
            return
        found = commit.open_transactions()
        if not found:
            return
        warnings.warn(
            f"The {claim.kind} {claim.name!r} was given back inside a transaction of "
            f"DATABASES[{found[0]!r}]: the next holder cannot see yet what was written "
            'under it. Say release="on_commit" to keep it until the transaction is '
            'over, or release="now" if that database has nothing to do with it.',
            ReleasedInTransaction,
            stacklevel=_level(),
        )


USUAL: Final = Ending(None, None, "default")
"""At once, with a warning if that is in a transaction."""


class There:
    """A call for the thread in which Django's connections live, awaited in asyncio.

    That is the thread that `sync_to_async` runs things in. Under `async_to_sync` it is
    the caller's, which may be in a transaction.
    """

    def __init__(self, call: Any, otherwise: Any) -> None:
        self.call = call
        self._otherwise = otherwise

    def __await__(self) -> Generator[Any, None, bool]:
        return self._hop().__await__()

    async def _hop(self) -> bool:
        from asgiref.sync import sync_to_async

        if "django.db" not in sys.modules:
            return False
        call = sync_to_async(self.call, thread_sensitive=True)
        task: asyncio.Task[bool] = asyncio.ensure_future(call())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._settle)
            raise

    def _settle(self, task: asyncio.Task[bool]) -> None:
        """Nobody heard the answer: do what would have been done."""
        if task.cancelled() or task.exception() is not None or not task.result():
            self._otherwise()


def _let_go(claim: Claim[Any], held: Held) -> None:
    """Give a lock back where nobody is left to do it."""
    claim.forget(held)
    held.end()
    undo(held.alias.link, held.terms.cancel(held.token))
    held.gate.freed(held)


def _give_back(held: Held) -> None:
    """Give a lock back that was kept until now."""
    try:
        held.let_go()
    except LockNotOwned as error:
        logger.error("A transaction was over after its lock was lost: %s", error)  # noqa: TRY400
    except BaseException:
        undo(held.alias.link, held.terms.cancel(held.token))
        raise


def _level() -> int:
    """Return the `stacklevel` of whoever called us, from outside of this package."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(HERE):
        level, frame = level + 1, frame.f_back
    return level
