"""What a lock is on the server: its keys, and the commands on them.

    the lock                      its key: the holder's token, the lease as its expiry
    redpony{TAG}:lock-line:queue    who waits, by ticket
    redpony{TAG}:lock-line:alive    until when each of them is taken to be alive
    redpony{TAG}:lock-line:fence    the last fencing token
    redpony{TAG}:lock-line:wake:... one waiter's mailbox

The lock itself is a plain string, as redis-py and django-redis write it, so that all of
them exclude each other. A semaphore has a sorted set of holders in its place, and their
weights. Whatever belongs together lies in one slot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, Final

from redpony.commands import (
    BLPOP,
    GET,
    Access,
    Argument,
    Command,
    Kind,
    Prepared,
    Repeat,
    Script,
    call,
)
from redpony.keys import INTERNAL, beside
from redpony.plan import Plan
from redpony.scripts import script
from redpony.wire.replies import pack

ALIVE: Final = 3.0
"""Seconds that a waiter is taken to be alive after it gave its last sign of life."""

SLICE: Final = 1.0
"""Seconds between those signs. Also how late it learns of a lock that was given back
without a word: by redis-py's locks, or by a DEL."""


@lru_cache(maxsize=4096)
def own_key(prefix: str, name: str, room: str) -> str:
    """Return the key of something that is no cache entry.

    A tag in the name decides its slot, as in any key.
    """
    return beside(f"{prefix}:{name}", room).removesuffix(":")


def line_beside(key: str) -> str:
    """Return what begins the keys of the line for a key, in the key's slot.

    They are in rooms of their own: a name that ends in ":queue" has no other's queue
    for its key, and what has a bare key stands in no line of another one's name.
    """
    if not key.startswith(INTERNAL):
        return beside(key, "key-line")
    head, _, rest = key.partition("}:")
    room, colon, name = rest.partition(":")
    return f"{head}}}:{room}-line{colon}{name}:"


class Terms(ABC):
    """The commands on one thing that is contended for.

    Times are seconds, but for leases: whole milliseconds. Each command names a token,
    and may be repeated.
    """

    shared: bool
    """Whether several of one process may have it at once."""
    is_plain = False
    """Whether it goes without fences, by the server's own commands: see `plain`."""
    weight: int = 1
    line: str
    """What the line in the process is for: those with the same stand in one."""
    keys: tuple[Argument, ...]
    mailboxes: bytes
    """What the keys of mailboxes begin with."""
    limit: tuple[bytes, ...] = ()
    """What scripts are told after the token, of a semaphore."""

    def __init__(self, acquire: str, release: str) -> None:
        self._acquire = script(acquire)
        self._release = script(release)
        size = 1 + len(self.limit)
        self._taking = _opening(self._acquire, self.keys, size + 2)
        self._giving = _opening(self._release, self.keys, size)
        self._given = self.limit, packed(self.limit)

    # Taking. An answer is the fence, where the token has it; a list, where it has not.

    def acquire(
        self,
        token: bytes,
        lease: int,
        alive: float,
        waited: float,
        *,
        listens: bool = False,
    ) -> Command:
        """Return the command that takes it, or lines up if `alive` is not 0.

        `listens`: whoever gets it at once is written to as well.
        """
        times = b"%d" % lease, b"%d" % (alive * 1000), b"%d" % (waited * 1_000_000)
        args = (token, *self.limit, *times, b"1" if listens else b"0")
        return call(self._acquire, self.keys, args, repeat=Repeat.SAFE)

    def wish(self, lease: int, alive: float) -> Wish:
        """Return all but the token of who takes it without having waited."""
        return _wish(self.limit, lease, alive)

    def take(self, token: bytes, wish: Wish) -> Command:
        """Return the command that takes it as was wished for: the quickest."""
        args, rest = wish
        payload = b"%b$%d\r\n%b\r\n%b" % (self._taking, len(token), token, rest)
        return Prepared(_SAFE, self._acquire, (self.keys, token, args), payload)

    # Giving back. An answer is 1 where it was given back; see the script for more.

    def give(self, token: bytes) -> Command:
        """Return the command that gives it back, with nobody waiting here."""
        args, rest = self._given
        payload = b"%b$%d\r\n%b\r\n%b" % (self._giving, len(token), token, rest)
        return Prepared(_DIFFERS, self._release, (self.keys, token, args), payload)

    def give_natively(self, link: Any, token: bytes) -> Command | None:
        """Return the server's own command that gives it back, if it is meant and has one."""
        del link, token
        return None

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


Wish = tuple[tuple[bytes, ...], bytes]
"""Arguments, and the same as they go over the wire."""

_ANSWERS = (int, list)
_SAFE = Kind("EVALSHA", Access.WRITE, Repeat.SAFE, None, _ANSWERS)
_DIFFERS = Kind("EVALSHA", Access.WRITE, Repeat.REPLY_DIFFERS, None, _ANSWERS)


def packed(words: tuple[Argument, ...]) -> bytes:
    """Return words as they go over the wire, without their count."""
    return pack(words).split(b"\r\n", 1)[1] if words else b""


@lru_cache(maxsize=1024)
def _wish(limit: tuple[bytes, ...], lease: int, alive: float) -> Wish:
    args = (*limit, b"%d" % lease, b"%d" % (alive * 1000))
    return args, packed(args)


def _opening(which: Script, keys: tuple[Argument, ...], args: int) -> bytes:
    """Return how the call of a script begins, up to its arguments."""
    words = (b"EVALSHA", which.sha, b"%d" % len(keys), *keys)
    return b"*%d\r\n%b" % (len(words) + args, packed(words))


class Exclusive(Terms):
    """A lock's terms: one holder."""

    shared = False

    def __init__(self, key: str) -> None:
        base = line_beside(key)
        self.line = key
        self.keys = (key, f"{base}queue", f"{base}alive", f"{base}fence")
        self.mailboxes = f"{base}wake:".encode()
        super().__init__("lock_acquire", "lock_release")
        self._cancel = script("lock_cancel")
        self._extend = script("lock_extend")

    def release(self, token: bytes, following: bytes, waited: float) -> Command:
        times = b"%d" % (ALIVE * 1000), b"%d" % (waited * 1_000_000)
        args = (token, following, *times) if following else (token,)
        return call(self._release, self.keys, args, repeat=Repeat.REPLY_DIFFERS)

    def cancel(self, token: bytes) -> Command:
        return call(self._cancel, self.keys, (token,), repeat=Repeat.REPLY_DIFFERS)

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
        if token is not None and token.startswith(b"rn."):
            token = token.removesuffix(b"+")  # others wait: see the script _lock
        return token


@lru_cache(maxsize=4096)
def exclusive(key: str) -> Exclusive:
    """Return the terms of the lock under a key."""
    return Exclusive(key)
