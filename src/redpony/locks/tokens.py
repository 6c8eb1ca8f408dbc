"""Tokens: who has a lock, or waits for it; each is made once and means one holding.

`rp.NUMBER.GRANT.HOST-PID`. The number is 96 random bits of the process and a count, the
grant is for how long a waiter is handed a lock before it has said that it knows, in ms.
A plain lock's begin with "rn".
Where it weighs more than one place of a semaphore, `wWEIGHT.` comes before the host.
A leader's ends in its identity, as in a URL, in place of host and process.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import socket
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

GRANT: Final = 2.0
"""Seconds that a waiter who is handed a lock has it before it takes its whole lease.

What a waiter that died in line costs those behind it.
"""

_ours = re.compile(rb"r[np]\.[\w-]{16,}\.\d+\.")
_whole = re.compile(_ours.pattern + rb"(?:w(\d+)\.)?([\w-]*)-(\d+)")


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


def new_token(lease: float | None, weight: int = 1, *, is_plain: bool = False) -> bytes:
    """Return a token that nobody else has; `lease` is a hard one's length in seconds."""
    if weight == 1 and not is_plain and (lease is None or lease >= GRANT):
        return _token % next(_count)
    grant = int((GRANT if lease is None else min(lease, GRANT)) * 1000)
    where = _where if weight == 1 else b"w%d.%b" % (weight, _where)
    kind = b"rn" if is_plain else b"rp"
    return b"%b.%b%x.%d.%b" % (kind, _seed, next(_count), max(grant, 1), where)


def grant_of(token: bytes) -> float:
    """Return for how many seconds a waiter with this token is given the lock."""
    return int(token.split(b".", 3)[2]) / 1000 if _ours.match(token) else GRANT


_LONGEST = 200


def signer(identity: Any) -> Callable[[bytes], bytes]:
    """Return what makes a token end in an identity; None leaves host and process."""
    if identity is None:
        return lambda token: token
    if not isinstance(identity, str) or not 0 < len(identity) <= _LONGEST:
        raise ValueError(
            f"identity must be a text of 1 to {_LONGEST} characters, not {identity!r}"
        )
    tail = quote(identity, safe="").encode()
    return lambda token: b".".join((*token.split(b".", 3)[:3], tail))


def signature(token: bytes) -> str:
    """Return what a token ends in; all of it where it is none of ours."""
    tail = token.split(b".", 3)[3] if _ours.match(token) else token
    return unquote_to_bytes(tail).decode(errors="backslashreplace")


def maker_of(token: bytes) -> tuple[str | None, int | None, int]:
    """Return the host and the process that made a token, and its weight.

    None for both where another package made it.
    """
    found = _whole.fullmatch(token)
    if found is None:
        return None, None, 1
    return found[2].decode(), int(found[3]), int(found[1] or 1)
