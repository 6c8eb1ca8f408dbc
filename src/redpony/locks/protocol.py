"""What a lock is on the server: its keys, its tokens, and the commands on them.

    the lock    its key            the holder's token, with the lease as its expiry
    redpony{TAG}:lock:queue        who waits, by ticket
    redpony{TAG}:lock:alive       until when each of them is taken to be alive
    redpony{TAG}:lock:fence       the last fencing token
    redpony{TAG}:lock:wake:...    one waiter's mailbox

The lock itself is a plain string, as redis-py and django-redis write it, so that all of
them exclude each other. The other keys lie beside it in the same slot.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import socket
from functools import lru_cache
from typing import Final

from redpony.commands import BLPOP, GET, PTTL, Argument, Command, Repeat, call
from redpony.keys import INTERNAL, beside
from redpony.scripts import script

GRANT: Final = 2.0
"""Seconds that a waiter who is handed a lock has it before it takes its whole lease.

What a waiter that died in line costs those behind it.
"""

ALIVE: Final = 3.0
"""Seconds that a waiter is taken to be alive after it gave its last sign of life."""

SLICE: Final = 1.0
"""Seconds between those signs. Also how late it learns of a lock that was given back
without a word: by redis-py's locks, or by a DEL."""

_ours = re.compile(rb"rp\.[\w-]{16,}\.\d+\.")


def _begin() -> None:
    """Begin to number tokens: in each process, and in each that is forked from it."""
    global _seed, _where, _token, _count
    host = re.sub(r"[^\w-]", "-", socket.gethostname())[:40]
    _seed = secrets.token_urlsafe(12).encode()
    _where = f"{host}-{os.getpid()}".encode()
    _token = b"rp.%b%%x.%d.%b" % (_seed, GRANT * 1000, _where)
    _count = itertools.count()


_seed = _where = _token = b""
_count = itertools.count()
_begin()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


def new_token(lease: float | None) -> bytes:
    """Return a token of its own: whose it is, the grant it wants, and a number.

    `rp.NUMBER.GRANT.HOST-PID`; the number is 96 random bits of the process and a
    count.
    """
    if lease is None or lease >= GRANT:
        return _token % next(_count)
    return b"rp.%b%x.%d.%b" % (_seed, next(_count), max(int(lease * 1000), 1), _where)


def grant_of(token: bytes) -> float:
    """Return for how many seconds a waiter with this token is given the lock."""
    return int(token.split(b".", 3)[2]) / 1000 if _ours.match(token) else GRANT


def own_key(prefix: str, name: str) -> str:
    """Return the key of a lock that is no cache entry's.

    A tag in the name decides its slot, as in any key.
    """
    return beside(f"{prefix}:{name}", "lock").removesuffix(":")


class Names:
    """The server's keys of one lock."""

    __slots__ = ("key", "keys", "mailboxes")

    def __init__(self, key: str) -> None:
        base = f"{key}:" if key.startswith(INTERNAL) else beside(key, "lock")
        self.key = key
        self.keys: tuple[Argument, ...] = (
            key,
            f"{base}queue",
            f"{base}alive",
            f"{base}fence",
        )
        self.mailboxes = f"{base}wake:".encode()

    def mailbox(self, token: bytes) -> bytes:
        return self.mailboxes + token


@lru_cache(maxsize=4096)
def names_of(key: str) -> Names:
    """Return the server's keys of the lock under this one."""
    return Names(key)


def acquire(
    names: Names, token: bytes, lease: int, alive: float, waited: float
) -> Command:
    """Return the command that takes a lock, or lines up if `alive` is not 0."""
    return call(
        script("lock_acquire"),
        names.keys,
        (
            token,
            names.mailboxes,
            b"%d" % lease,
            b"%d" % (alive * 1000),
            b"%d" % (waited * 1_000_000),
        ),
        repeat=Repeat.SAFE,
    )


def release(names: Names, token: bytes, following: bytes, waited: float) -> Command:
    """Return the command that gives a lock back, or passes it to one's next waiter."""
    return call(
        script("lock_release"),
        names.keys,
        (
            token,
            names.mailboxes,
            following,
            b"%d" % (ALIVE * 1000),
            b"%d" % (waited * 1_000_000),
        ),
        repeat=Repeat.REPLY_DIFFERS,
    )


def cancel(names: Names, token: bytes) -> Command:
    """Return the command that withdraws a token from everywhere."""
    return call(
        script("lock_cancel"),
        names.keys,
        (token, names.mailboxes),
        repeat=Repeat.REPLY_DIFFERS,
    )


def extend(names: Names, token: bytes, milliseconds: int) -> Command:
    """Return the command that sets how long a lock is held from now on."""
    return call(
        script("lock_extend"),
        names.keys[:1],
        (token, b"%d" % milliseconds),
        repeat=Repeat.SAFE,
    )


def message(names: Names, token: bytes, seconds: float) -> Command:
    """Return the command that waits for one's mailbox."""
    return BLPOP(names.mailbox(token), b"%.3f" % max(seconds, 0.001))


def owner(names: Names) -> Command:
    """Return the command that reads the holder's token."""
    return GET(names.key)


def left(names: Names) -> Command:
    """Return the command that reads what the holder's lease has left, in ms."""
    return PTTL(names.key)
