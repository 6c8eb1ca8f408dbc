"""Everything that can go wrong, under one root.

Each class is also the class that callers catch today: redis-py's errors keep
working in `except` clauses that were written before Redpony. A message says
what happened, where (never with a secret in it) and what to do.

`outcome` tells what became of a command that failed:

* `"not_sent"`: no server can have run it; it is safe to send again.
* `"refused"`: the server answered with an error; nothing was applied.
* `"unknown"`: it was sent and no answer came; it may have been applied, or may
  still be.
"""

from __future__ import annotations

import threading
from typing import Any, Literal

from redis import exceptions as redis_errors

Outcome = Literal["not_sent", "refused", "unknown"]


class RedponyError(Exception):
    """The root of all errors that Redpony raises."""

    outcome: Outcome | None = None


class InvalidSetting(RedponyError, ValueError):
    """A setting or argument is not usable as it stands.

    Above floor 1 it is raised as `redpony.Misconfigured`, which is Django's
    `ImproperlyConfigured` too and names the alias.
    """


class Unavailable(RedponyError, redis_errors.ConnectionError):
    """The server could not be asked, or did not answer."""

    left: float | None = None
    """Seconds of its deadline that the operation still had, where that is known."""

    partial: list[Any] | None = None
    """Where a cluster answered some keys of a command and not others: what there is."""

    def __init__(self, message: str, *, outcome: Outcome = "not_sent") -> None:
        super().__init__(message)
        self.outcome = outcome


class DeadlineExceeded(Unavailable, redis_errors.TimeoutError):
    """No answer came within the deadline."""


class Unreachable(Unavailable):
    """No connection could be opened."""

    refused = False
    """Whether nobody listens there: to be told so takes no time."""

    dropped = False
    """Whether the peer took the connection, and closed it before it said a word."""


class PoolExhausted(DeadlineExceeded):
    """All connections were busy until the deadline."""


class CircuitOpen(Unavailable):
    """The node failed repeatedly a moment ago and is left alone for a while."""


class ProtocolError(Unavailable):
    """The peer does not speak Redis' protocol as it should; the connection is gone."""


class Tampered(RedponyError, ValueError):
    """A sealed value does not carry the seal that its key and content demand."""

    reason = "tampered"


class Unreadable(RedponyError, ValueError):
    """A stored value is in no accepted format, or its codec cannot decode it.

    `reason` is "unknown key", "format", "too large" or "undecodable", as in
    `events.Refused`.
    """

    def __init__(self, message: str, *, reason: str = "undecodable") -> None:
        super().__init__(message)
        self.reason = reason


class TooLarge(RedponyError, ValueError):
    """A value is larger than `MAX_VALUE_BYTES`."""


class NotSerializable(RedponyError, TypeError):
    """A value has no form in which it could be stored."""


class ServerError(RedponyError, redis_errors.ResponseError):
    """The server answered with an error; `code` is its first word."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outcome = "refused"
        self.code = message.partition(" ")[0]


class WrongType(ServerError, TypeError):
    """The key holds another type of value than the command works on."""


class NotAnInteger(ServerError, TypeError):
    """`incr` met a value that is not an integer of 64 bits."""


class NoPermission(ServerError, redis_errors.NoPermissionError):
    """The user that we connect as may not run this command or touch this key."""


class WriteRefused(ServerError):
    """The server answers, and takes no writes as it is."""


class CannotPersist(WriteRefused):
    """The server could not save its data, and takes no writes until it can."""


class OutOfMemory(WriteRefused, redis_errors.OutOfMemoryError):
    """The server is at `maxmemory` and its policy lets nothing go."""


class ReadOnly(WriteRefused, redis_errors.ReadOnlyError):
    """The server is a replica and takes no writes."""

    deposed = False
    """Whether it was the primary when we connected: its successor may be found."""


class UnknownCommand(ServerError):
    """The server does not have this command, or not under this name."""


class NoScript(ServerError, redis_errors.NoScriptError):
    """The server does not know the script; drivers send its source instead."""


class AuthenticationFailed(Unavailable, redis_errors.AuthenticationError):
    """The server does not accept the credentials that are configured."""


class Loading(Unavailable, redis_errors.BusyLoadingError):
    """The server is reading its data set and takes no commands yet."""


class Busy(Unavailable, redis_errors.ResponseError):
    """A script holds the server for longer than it likes; it runs nothing else yet."""


class MasterDown(Unavailable, redis_errors.MasterDownError):
    """A replica has lost its primary, and may not answer without."""


class ClusterDown(Unavailable, redis_errors.ClusterDownError):
    """The cluster has no primary for this slot, or not enough of them."""


class NoReplicas(Unavailable, redis_errors.ResponseError):
    """A primary has too few replicas in reach to take writes (`min-replicas-to-write`).

    So does one that was cut off and replaced, where the servers are set up well.
    """


class TryAgain(Unavailable, redis_errors.TryAgainError):
    """Keys of one slot are being moved, and not all have arrived."""


class NotPrimary(Unavailable):
    """The server that was the primary is none any more: a replica answers there."""


class Redirected(ServerError):
    """A cluster's node says that another one has the key; the router goes there.

    Seen by a user only where a cluster's node was named as a single server.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        _, slot, place = message.split(" ")[:3]
        host, _, port = place.rpartition(":")
        self.slot = int(slot)
        self.host = host
        self.port = int(port)


class Moved(Redirected):
    """Another node has the slot from now on."""


class Asked(Redirected):
    """Another node may have the key: its slot is on the move."""


class CrossSlot(ServerError, redis_errors.ClusterCrossSlotError):
    """Keys that one command needs together lie in different slots of a cluster.

    Nothing was done. Give them one hash tag: `{user:1}:cart` and `{user:1}:seen`.
    """


class LockError(RedponyError, redis_errors.LockError):
    """A lock could not be had, or was used in a way that makes no sense."""

    def __init__(self, message: str, *, name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.lock_name = name


class LockNotOwned(LockError, redis_errors.LockNotOwnedError):
    """The lock is not the caller's: it never was, its lease is over, or it was broken."""


class LockLost(LockNotOwned):
    """The lock was the caller's when the body began, and was not any more at its end."""


class BrokenBarrier(LockError, threading.BrokenBarrierError):
    """A party of the barrier has died, has waited too long, or has given up."""


class ReleasedInTransaction(RuntimeWarning):
    """A lock was given back before the transaction that it guards was over.

    The next holder may read what was there before it.
    """


_BY_CODE: dict[str, type[ServerError]] = {
    "WRONGTYPE": WrongType,
    "NOPERM": NoPermission,
    "OOM": OutOfMemory,
    "READONLY": ReadOnly,
    "MISCONF": CannotPersist,
    "NOSCRIPT": NoScript,
    "MOVED": Moved,
    "ASK": Asked,
    "CROSSSLOT": CrossSlot,
}

_UNAVAILABLE: dict[str, type[Unavailable]] = {
    "LOADING": Loading,
    "BUSY": Busy,
    "MASTERDOWN": MasterDown,
    "CLUSTERDOWN": ClusterDown,
    "NOREPLICAS": NoReplicas,
    "TRYAGAIN": TryAgain,
}

_REMEDIES = {
    "OOM": "raise the server's maxmemory, or choose a maxmemory-policy that evicts",
    "READONLY": "this server is a replica: LOCATION must name the primary first",
    "NOPERM": "manage.py redpony acl prints the rights that our user needs",
    "MISCONF": "the server cannot write to its disk: see its log",
}

# What a script may not do is told without a code: by Redis 7, and by Valkey.
_DENIED_IN_SCRIPTS = ("user executing the script can't", "ACL failure in script")


def from_reply(message: str) -> RedponyError:
    """Return the error for the text of an error reply."""
    code = message.partition(" ")[0]
    if code in _UNAVAILABLE:
        return _UNAVAILABLE[code](message, outcome="refused")
    if code in ("NOAUTH", "WRONGPASS"):
        return AuthenticationFailed(message, outcome="refused")
    if message.startswith("ERR unknown command"):
        # What follows are the arguments: keys and values.
        return UnknownCommand(message.partition(", with args")[0])
    if "value is not an integer" in message or "would overflow" in message:
        return NotAnInteger(message)
    if any(each in message for each in _DENIED_IN_SCRIPTS):
        code = "NOPERM"
    if code in _REMEDIES:
        message = f"{message} ({_REMEDIES[code]})"
    return _BY_CODE.get(code, ServerError)(message)
