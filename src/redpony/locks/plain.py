"""Plain locks: the server's own commands, without a fence.

`SET NX` takes one and `DELIFEQ` (Valkey 9.0) or `DELEX` (Redis 8.4) gives it back, both
at the price of any `SET`. Who finds it taken stands in the line of all locks, which is
the scripts' business, and adds a "+" to the holder's token: the holder's deletion finds
another value then, deletes nothing, and the script passes the lock on. So neither pays
for the other until they meet. Where the server has no such command, scripts give it back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from redpony.commands import Access, Command, Kind, Packed, Repeat
from redpony.locks.terms import Exclusive, Wish, packed

_TAKE = Kind(
    "SET", Access.WRITE, Repeat.SAFE, slice(0, 1), (bytes, str, type(None), int)
)
"""Safe: who repeats it and finds its own token asks the script, which knows better."""

DELIFEQ = Kind("DELIFEQ", Access.WRITE, Repeat.REPLY_DIFFERS, slice(0, 1), (int,))
DELEX = Kind("DELEX", Access.WRITE, Repeat.REPLY_DIFFERS, slice(0, 1), (int,))


def is_known(deletion: Kind, server: Any) -> bool:
    """Whether a server, by its facts or features, has one of these commands."""
    if deletion is DELIFEQ:
        return bool(server.at_least((10**6,), (9, 0)))
    return bool(server.at_least((8, 4), None))


@lru_cache(maxsize=1024)
def _wish(lease: int) -> Wish:
    args = (b"NX", b"PX", b"%d" % lease)
    return args, packed(args)


class Plain(Exclusive):
    """A plain lock's terms; takes part in the same line as other locks on its key."""

    is_plain = True

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._set = b"*6\r\n" + packed((b"SET", key))
        self._deletions = {
            DELIFEQ: b"*3\r\n" + packed((b"DELIFEQ", key)),
            DELEX: b"*4\r\n" + packed((b"DELEX", key)),
        }

    def wish(self, lease: int, alive: float) -> Wish:
        del alive
        return _wish(lease)

    def take(self, token: bytes, wish: Wish) -> Command:
        args, rest = wish
        payload = b"%b$%d\r\n%b\r\n%b" % (self._set, len(token), token, rest)
        return Packed(_TAKE, (self.keys[0], token, *args), payload)

    def give_natively(self, link: Any, token: bytes) -> Command | None:
        """Return the command that gives it back with nobody waiting, if there is one.

        It answers 0 where the token is not there as it was: lost, or waited for.
        """
        facts = link.facts
        key = self.keys[0]
        if is_known(DELIFEQ, facts):
            opening = self._deletions[DELIFEQ]
            payload = b"%b$%d\r\n%b\r\n" % (opening, len(token), token)
            return Packed(DELIFEQ, (key, token), payload)
        if is_known(DELEX, facts):
            opening = self._deletions[DELEX]
            payload = b"%b$4\r\nIFEQ\r\n$%d\r\n%b\r\n" % (opening, len(token), token)
            return Packed(DELEX, (key, b"IFEQ", token), payload)
        return None


@lru_cache(maxsize=4096)
def plain(key: str) -> Plain:
    """Return the terms of the plain lock under a key."""
    return Plain(key)
