"""Being told when a database's transaction is over, committed or not.

Django tells who asked for it of a commit (`transaction.on_commit`), and of a rollback
nobody. But what it keeps until a commit it drops after ROLLBACK, and that can be seen:
a `_Hook` that was dropped and never called belonged to what was rolled back.

* Called once for each `when_over`, whatever happens: commit, rollback,
  `set_rollback(True)`, a connection that is closed in the middle, a thread that ends.
* A savepoint's rollback is not the transaction's: it is waited for on.
* The blocks that `TestCase` wraps around a test are no transactions here. Django keeps
  everything until the test ends, though, unless it stands in
  `captureOnCommitCallbacks(execute=True)`.
* Called in the thread of the connection, by Django's COMMIT or ROLLBACK. Where nobody
  knows what the thread is about (the collector of garbage finds a hook), in another.
* An error of the callback is logged. It comes too late to undo anything, and must not
  keep others that wait for the commit from being called.

Where Django's databases are not in use, nothing of them is imported or opened.
"""

from __future__ import annotations

import _thread
import contextlib
import inspect
import logging
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from redpony.interrupts import is_interrupt

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("redpony")

DJANGOS = "django.db.backends.base.base"
"""Where Django drops what waits for a commit."""


def when_over(then: Callable[[], object], using: str = "default") -> None:
    """Call back once when the outermost transaction of a database is over.

    At once where none is open in this thread. `then` returns nothing of use.
    """
    connection = _opened(using)
    if connection is None or not _is_in_block(connection):
        then()
        return
    # Not robust: what it raises is an interrupt, and is not to be swallowed.
    connection.on_commit(_Hook(_Waiting(connection, then)))


def is_open(using: str = "default") -> bool:
    """Return whether this thread is in an atomic block of a database."""
    connection = _opened(using)
    return connection is not None and _is_in_block(connection)


def is_awaited_by_sync() -> bool:
    """Return whether this coroutine is run by sync code, whose thread waits for it.

    Then that thread's transaction is its own: ask for it by `sync_to_async`.
    """
    from asgiref.sync import AsyncToSync

    return getattr(AsyncToSync.executors, "current", None) is not None


def open_transactions() -> list[str]:
    """Return the databases with a transaction open in this thread.

    Also one without autocommit, whose end Django tells nobody of.
    """
    db = sys.modules.get("django.db")
    if db is None:
        return []
    return [each.alias for each in _all(db) if _is_in_block(each) or _is_manual(each)]


def is_known(using: str) -> bool:
    """Return whether DATABASES has an alias."""
    from django.db import connections

    return using in connections.settings


def _opened(using: str) -> BaseDatabaseWrapper | None:
    """Return this thread's connection, if it has one already."""
    db = sys.modules.get("django.db")
    if db is None:
        return None
    return next((each for each in _all(db) if each.alias == using), None)


def _all(db: Any) -> list[BaseDatabaseWrapper]:
    """Return the connections that this thread has used."""
    storage = getattr(db.connections._connections, "_storage", None)  # noqa: SLF001
    if isinstance(storage, threading.local) and not vars(storage):
        return []  # what Django finds out too, in ten times as long
    opened: list[BaseDatabaseWrapper] = db.connections.all(initialized_only=True)
    return opened


def _is_in_block(connection: Any) -> bool:
    if not connection.in_atomic_block or connection.closed_in_transaction:
        return False
    return _outermost(connection) is not None


def _outermost(connection: Any) -> Any:
    """Return the outermost atomic block, but for those of `TestCase`."""
    for block in connection.atomic_blocks:
        if not getattr(block, "_from_testcase", False):
            return block
    return None


def _is_manual(connection: Any) -> bool:
    return (
        connection.connection is not None
        and not connection.autocommit
        and not connection.in_atomic_block
    )


class _Waiting:
    """Somebody who waits for the end of a transaction."""

    def __init__(
        self, connection: BaseDatabaseWrapper, then: Callable[[], object]
    ) -> None:
        self._connection = ref(connection)
        self._block = _outermost(connection)
        self._then: Callable[[], object] | None = then
        self.savepoints: set[Any] = set()
        self.stand_in(connection)

    def stand_in(self, connection: Any) -> None:
        """Remember the savepoints whose rollback drops the hook."""
        self.savepoints = set(connection.savepoint_ids)

    def over(self) -> None:
        """The transaction is over."""
        then, self._then = self._then, None
        if then is None:
            return
        try:
            then()
        except Exception as error:
            if is_interrupt(error):
                raise
            logger.exception("What should follow the end of a transaction failed")

    def dropped(self) -> None:
        """The hook is gone and was not called."""
        if self._then is None:
            return
        connection: Any = self._connection()
        if connection is not None and self._goes_on(connection):
            self.stand_in(connection)
            connection.on_commit(_Hook(self))
            return
        if _is_djangos():
            self._over_at_last()
        else:
            # Whatever this thread is in the middle of, it is not for us to hold it up.
            with contextlib.suppress(RuntimeError):  # the interpreter ends
                _thread.start_new_thread(self._over_at_last, ())

    def _goes_on(self, connection: Any) -> bool:
        """Whether a savepoint was rolled back, and the transaction was not.

        A connection that is closed has all its savepoints still.
        """
        return (
            _is_in_block(connection)
            and _outermost(connection) is self._block
            and not self.savepoints.issubset(connection.savepoint_ids)
        )

    def _over_at_last(self) -> None:
        """Be over where no error can be raised."""
        try:
            self.over()
        except KeyboardInterrupt:
            # Nobody above would see it: have it come again, in a moment.
            _thread.start_new_thread(_interrupt, ())
        except BaseException:  # a signal's handler's
            logger.exception("An interrupt came at the end of a transaction")


class _Hook:
    """What Django calls after the commit, or drops without it."""

    def __init__(self, waiting: _Waiting) -> None:
        self._waiting = waiting
        self.__qualname__ = type(self).__qualname__  # what Django's log calls it

    def __call__(self) -> None:
        self._waiting.over()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._waiting.dropped()


def _interrupt() -> None:
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)


def _is_djangos() -> bool:
    """Whether a hook is dropped by Django, and not by the collector of garbage.

    The frames are ours, `dropped`, `__del__`, and the one that dropped it.
    """
    frame: Any = inspect.currentframe()
    for _ in range(3):
        frame = frame and frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == DJANGOS
