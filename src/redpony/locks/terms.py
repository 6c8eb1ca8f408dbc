"""What a lock is on the server: its keys, and the commands on them.

    the lock                      its key: the holder's token, the lease as its expiry
    redpony{TAG}:lock:queue       who waits, by ticket
    redpony{TAG}:lock:alive       until when each of them is taken to be alive
    redpony{TAG}:lock:fence       the last fencing token
    redpony{TAG}:lock:wake:...    one waiter's mailbox

The lock itself is a plain string, as redis-py and django-redis write it, so that all of
them exclude each other. A semaphore has a sorted set of holders in its place, and their
weights. Whatever belongs together lies in one slot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Final

from redpony.commands import BLPOP, GET, Argument, Command, Repeat, Script, call
from redpony.keys import INTERNAL, beside
from redpony.plan import Plan
from redpony.scripts import script

ALIVE: Final = 3.0
"""Seconds that a waiter is taken to be alive after it gave its last sign of life."""

SLICE: Final = 1.0
"""Seconds between those signs. Also how late it learns of a lock that was given back
without a word: by redis-py's locks, or by a DEL."""


def own_key(prefix: str, name: str, room: str) -> str:
    """Return the key of something that is no cache entry.

    A tag in the name decides its slot, as in any key.
    """
    return beside(f"{prefix}:{name}", room).removesuffix(":")


class Terms(ABC):
    """The commands on one thing that is contended for.

    Times are seconds, but for leases: whole milliseconds. Each command names a token,
    and may be repeated.
    """

    shared: bool
    """Whether several of one process may have it at once."""
    weight: int = 1
    line: str
    """What the line in the process is for: those with the same stand in one."""
    keys: tuple[Argument, ...]
    mailboxes: bytes
    """What the keys of mailboxes begin with."""

    @abstractmethod
    def acquire(self, token: bytes, lease: int, alive: float, waited: float) -> Command:
        """Return the command that takes it, or lines up if `alive` is not 0."""

    @abstractmethod
    def release(self, token: bytes, following: bytes, waited: float) -> Command:
        """Return the command that gives it back, or passes it to one's next waiter."""

    @abstractmethod
    def cancel(self, token: bytes) -> Command:
        """Return the command that withdraws a token from everywhere."""

    @abstractmethod
    def extend(self, token: bytes, milliseconds: int) -> Command:
        """Return the command that sets how long it is held from now on."""

    @abstractmethod
    def has(self, token: bytes) -> Plan[bool]:
        """Return whether a token has it. One round trip."""

    @abstractmethod
    def taken(self) -> Plan[bool]:
        """Return whether nobody else could have it now. One round trip."""

    def message(self, token: bytes, seconds: float) -> Command:
        """Return the command that waits for one's mailbox."""
        return BLPOP(self.mailboxes + token, b"%.3f" % max(seconds, 0.001))


class Exclusive(Terms):
    """A lock's terms: one holder."""

    shared = False

    def __init__(self, key: str) -> None:
        base = f"{key}:" if key.startswith(INTERNAL) else beside(key, "lock")
        self.line = key
        self.keys = (key, f"{base}queue", f"{base}alive", f"{base}fence")
        self.mailboxes = f"{base}wake:".encode()
        self._acquire = script("lock_acquire")
        self._release = script("lock_release")
        self._cancel = script("lock_cancel")
        self._extend = script("lock_extend")

    def acquire(self, token: bytes, lease: int, alive: float, waited: float) -> Command:
        return self._call(
            self._acquire,
            token,
            b"%d" % lease,
            b"%d" % (alive * 1000),
            b"%d" % (waited * 1_000_000),
        )

    def release(self, token: bytes, following: bytes, waited: float) -> Command:
        return self._call(
            self._release,
            token,
            following,
            b"%d" % (ALIVE * 1000),
            b"%d" % (waited * 1_000_000),
            repeat=Repeat.REPLY_DIFFERS,
        )

    def cancel(self, token: bytes) -> Command:
        return self._call(self._cancel, token, repeat=Repeat.REPLY_DIFFERS)

    def extend(self, token: bytes, milliseconds: int) -> Command:
        args = (token, b"%d" % milliseconds)
        return call(self._extend, self.keys[:1], args, repeat=Repeat.SAFE)

    def has(self, token: bytes) -> Plan[bool]:
        return bool((yield from self.owner()) == token)

    def taken(self) -> Plan[bool]:
        return (yield from self.owner()) is not None

    def owner(self) -> Plan[bytes | None]:
        """Return the holder's token. One round trip."""
        token: bytes | None = yield GET(self.keys[0])
        return token

    def _call(
        self,
        which: Script,
        token: bytes,
        *args: bytes,
        repeat: Repeat = Repeat.SAFE,
    ) -> Command:
        return call(which, self.keys, (token, self.mailboxes, *args), repeat=repeat)


@lru_cache(maxsize=4096)
def exclusive(key: str) -> Exclusive:
    """Return the terms of the lock under a key."""
    return Exclusive(key)
