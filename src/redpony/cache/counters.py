"""Counters: integers that the server adds to.

Stored as decimal text, so `incr` is the server's own and two callers never read
the same number. A script checks that the key is there: INCRBY would make a key
without expiry.
"""

from __future__ import annotations

from typing import Any

from redpony.cache.room import Room
from redpony.commands import INCRBY, RESTORE, Repeat, call
from redpony.errors import CrossSlot, TryAgain
from redpony.plan import Plan, both
from redpony.scripts import script

ATTEMPTS = 20
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class Counters(Room):
    """incr, decr, and versions, which count as well."""

    def _incr(
        self,
        key: Any,
        delta: int = 1,
        version: int | None = None,
        ignore_key_check: bool = False,
    ) -> Plan[int]:
        """Add to an integer and return the new value; its expiry stays.

        Raises ValueError when the key is missing (`ignore_key_check` makes it
        instead, without expiry), `NotAnInteger` (a TypeError and redis-py's
        ResponseError) when it holds something else. One round trip, atomic.
        """
        full = self._key(key, version)
        amount = b"%d" % _delta(delta)
        if ignore_key_check:
            return (yield INCRBY(full, amount))  # type: ignore[no-any-return]
        found = yield call(script("incr"), (full,), (amount,))
        if found is None:
            raise ValueError(f"Key '{key}' not found")
        return found  # type: ignore[no-any-return]

    incr, aincr = both(_incr)

    def _decr(self, key: Any, delta: int = 1, version: int | None = None) -> Plan[int]:
        """Subtract from an integer and return the new value; as `incr`."""
        return (yield from self._incr(key, -_delta(delta), version))

    decr, adecr = both(_decr)

    def _incr_version(
        self, key: Any, delta: int = 1, version: int | None = None
    ) -> Plan[int]:
        """Move a value to the version `delta` further and return that version.

        A rename: value and expiry go with it. Raises ValueError when the key is
        missing. One round trip, atomic. Where a cluster has the two versions on
        different servers it is three: the value is copied, and the old key removed
        if nobody wrote to it meanwhile (else it is copied again).
        """
        old = self.version if version is None else version
        new = old + delta
        keys = (self._key(key, old), self._key(key, new))
        if keys[0] == keys[1]:
            keys = keys[:1] * 2
        try:
            moved = yield call(script("rename"), keys)
        except CrossSlot:
            moved = yield from _carry(*keys)
        if not moved:
            raise ValueError(f"Key '{key}' not found")
        return new

    incr_version, aincr_version = both(_incr_version)

    def _decr_version(
        self, key: Any, delta: int = 1, version: int | None = None
    ) -> Plan[int]:
        """Move a value to the version `delta` before; as `incr_version`."""
        return (yield from self._incr_version(key, -delta, version))

    decr_version, adecr_version = both(_decr_version)


def _carry(old: str, new: str) -> Plan[bool]:
    """Move a key between servers; return whether it was there."""
    for _ in range(ATTEMPTS):
        found = yield call(script("dump"), (old,), repeat=Repeat.SAFE)
        if found is None:
            return False
        data, ms = found
        lasts = b"0" if ms < 0 else b"%d" % max(ms, 1)
        yield RESTORE(new, lasts, data, b"REPLACE")
        if (yield call(script("discard"), (old,), (data,))):
            return True
    raise TryAgain(
        f"The entry was written to each of {ATTEMPTS} times that it was to be moved to "
        "another server; both versions are there",
        outcome="unknown",
    )


def _delta(delta: Any) -> int:
    if isinstance(delta, bool) or not isinstance(delta, int):
        raise TypeError(f"delta must be an integer, not {type(delta).__name__}")
    if not _SMALLEST <= delta <= _LARGEST:
        raise ValueError("delta must fit into 64 bits")
    return delta
