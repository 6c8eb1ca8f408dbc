"""The one seam through which logs, metrics and traces learn what happens.

An event names the operation, the alias and the commands; never a key, never a
value, never a secret. (Those of locks name the lock.) Handlers run inline, in the thread or task that emitted,
so they see its context variables; one that raises is reported to the log once
and never disturbs the operation. (A signal's handler that raises while one runs is
none of them: it is passed on.)

`Operation` events cost something to make, so drivers look at `listening` first:
with no subscriber there is no event. `LockAcquired` and `LockReleased` have
`lock_listening`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from redpony.interrupts import is_interrupt

logger = logging.getLogger("redpony")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    alias: str


@dataclass(frozen=True, slots=True)
class Operation(Event):
    """One public operation, from call to answer.

    `seconds` is wall time; `round_trips` counts flights to a server;
    `commands` are their names, in order; `error` is what the caller got.
    """

    name: str
    commands: tuple[str, ...]
    round_trips: int
    seconds: float
    node: str = ""
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Degraded(Event):
    """An operation answered by the policy of `ON_ERROR` instead of the server."""

    name: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Retried(Event):
    """A command was sent again; `attempt` 2 is the first repetition."""

    node: str
    commands: tuple[str, ...]
    attempt: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class BreakerChanged(Event):
    """A node's breaker went to `state`: "closed", "open" or "half-open"."""

    node: str
    state: str
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Promoted(Event):
    """Another server is the primary now: `node` leads, of a topology or a shard."""

    node: str


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A stored value was not used: it counts as a miss.

    `reason` is "tampered" (a known key's seal does not fit), "unknown key",
    "format" (not among `READ_FORMATS`), "too large" or "undecodable".
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Connection(Event):
    """A connection to a node was opened, closed or lost."""

    node: str
    change: str
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Server(Event):
    """The embedded server was started, adopted or ended."""

    change: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LockAcquired(Event):
    """A lock was taken; `kind` is "lock", "semaphore", "read lock" or "write lock".

    `waited` is in seconds, from the call on. `handed_over`: it was not free; who had
    it gave it to this one. Who enters a lock again that it has makes none.
    """

    name: str
    kind: str
    waited: float
    handed_over: bool


@dataclass(frozen=True, slots=True)
class LockReleased(Event):
    """A lock was given back by its holder, after `held` seconds.

    Also where the server could not be told: then the lease's end does it.
    """

    name: str
    kind: str
    held: float


@dataclass(frozen=True, slots=True)
class LockLost(Event):
    """A lock's lease was over, or somebody ended it, before its holder gave it back."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class CircularWait(Event):
    """Locks are taken in orders that can make their takers wait for each other.

    `names` are those locks; `detail` says where. See `redpony.locks.lockdep`.
    """

    names: tuple[str, ...]
    detail: str


Handler = Callable[[Event], None]


@dataclass(eq=False, slots=True)
class _Subscription:
    handler: Handler
    kinds: tuple[type[Event], ...]
    failed: bool = False


_subscriptions: tuple[_Subscription, ...] = ()
_lock = threading.Lock()

listening = False
"""Whether anybody wants `Operation` events; read it as `events.listening`."""

lock_listening = False
"""Whether anybody wants to be told who takes locks and gives them back."""


def subscribe(handler: Handler, *kinds: type[Event]) -> Callable[[], None]:
    """Call `handler` for events of these kinds (all, if none is named).

    Returns a function that ends the subscription.
    """
    entry = _Subscription(handler, kinds or (Event,))
    with _lock:
        _listen((*_subscriptions, entry))

    def unsubscribe() -> None:
        with _lock:
            _listen(tuple(each for each in _subscriptions if each is not entry))

    return unsubscribe


def emit(event: Event) -> None:
    """Tell every subscriber of this event's kind."""
    for entry in _subscriptions:
        if isinstance(event, entry.kinds):
            try:
                entry.handler(event)
            except Exception as error:  # a listener's fault is not the operation's
                if is_interrupt(error):
                    raise
                if not entry.failed:
                    entry.failed = True
                    logger.exception("An event handler failed: %r", entry.handler)


def _listen(subscriptions: tuple[_Subscription, ...]) -> None:
    # Replaced whole: `emit` reads it without the lock.
    global _subscriptions, listening, lock_listening
    _subscriptions = subscriptions
    kinds = tuple(kind for each in subscriptions for kind in each.kinds)
    listening = issubclass(Operation, kinds)
    lock_listening = issubclass(LockAcquired, kinds) or issubclass(LockReleased, kinds)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
