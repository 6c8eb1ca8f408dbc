"""Lists: elements in order, pushed and popped at both ends.

Elements are in canonical form, as members of sets are: unsealed, typed, never
executed.
"""

from __future__ import annotations

from typing import Any

from redpony.cache.room import Room
from redpony.commands import (
    LINDEX,
    LINSERT,
    LLEN,
    LMOVE,
    LPOP,
    LPOS,
    LPUSH,
    LRANGE,
    LREM,
    LSET,
    LTRIM,
    RPOP,
    RPUSH,
    Command,
    Kind,
)
from redpony.errors import Unavailable, WriteRefused
from redpony.plan import Plan, both


class Lists(Room):
    """Redis' list commands on cache keys."""

    def _lpush(self, key: Any, *values: Any, version: int | None = None) -> Plan[int]:
        """Push elements at the head, one after the other; return the length.

        One round trip, atomic.
        """
        return (yield from self._push(LPUSH, key, values, version))

    lpush, alpush = both(_lpush)

    def _rpush(self, key: Any, *values: Any, version: int | None = None) -> Plan[int]:
        """Push elements at the tail, in order; return the length.

        One round trip, atomic.
        """
        return (yield from self._push(RPUSH, key, values, version))

    rpush, arpush = both(_rpush)

    def _push(
        self, kind: Kind, key: Any, values: tuple[Any, ...], version: int | None
    ) -> Plan[int]:
        full = self._key(key, version)
        if not values:
            return (yield LLEN(full))  # type: ignore[no-any-return]
        encoded = map(self._codec.encode_member, values)
        return (yield Command(kind, (full, *encoded)))  # type: ignore[no-any-return]

    def _lpop(
        self, key: Any, count: int | None = None, version: int | None = None
    ) -> Plan[Any]:
        """Remove the first element and return it; None from an empty list.

        With `count`, a list of at most so many. One round trip, atomic.
        """
        return (yield from self._pop_element(LPOP, key, count, version))

    lpop, alpop = both(_lpop)

    def _rpop(
        self, key: Any, count: int | None = None, version: int | None = None
    ) -> Plan[Any]:
        """Remove the last element and return it; None from an empty list.

        With `count`, a list of at most so many. One round trip, atomic.
        """
        return (yield from self._pop_element(RPOP, key, count, version))

    rpop, arpop = both(_rpop)

    def _pop_element(
        self, kind: Kind, key: Any, count: int | None, version: int | None
    ) -> Plan[Any]:
        full = self._key(key, version)
        if count is None:
            return self._element((yield kind(full)))
        try:
            return self._elements((yield kind(full, b"%d" % count)))
        except (Unavailable, WriteRefused) as error:
            return self.alias.degraded(kind.name.lower(), error, [])

    def _llen(self, key: Any, version: int | None = None) -> Plan[int]:
        """Return the length. One round trip."""
        return (yield LLEN(self._key(key, version)))  # type: ignore[no-any-return]

    llen, allen = both(_llen)

    def _lrange(
        self, key: Any, start: int = 0, end: int = -1, version: int | None = None
    ) -> Plan[list[Any]]:
        """Return the elements from `start` to `end`, both included. One round trip."""
        full = self._key(key, version)
        return self._elements((yield LRANGE(full, b"%d" % start, b"%d" % end)))

    lrange, alrange = both(_lrange)

    def _lindex(self, key: Any, index: int, version: int | None = None) -> Plan[Any]:
        """Return an element by its position, or None. One round trip."""
        return self._element((yield LINDEX(self._key(key, version), b"%d" % index)))

    lindex, alindex = both(_lindex)

    def _lset(
        self, key: Any, index: int, value: Any, version: int | None = None
    ) -> Plan[bool]:
        """Replace an element; raises `ServerError` for a position out of range.

        One round trip.
        """
        data = self._codec.encode_member(value)
        yield LSET(self._key(key, version), b"%d" % index, data)
        return True

    lset, alset = both(_lset)

    def _lrem(
        self, key: Any, count: int, value: Any, version: int | None = None
    ) -> Plan[int]:
        """Remove elements equal to `value`; return how many.

        The first `count` from the head, from the tail if negative, all if 0. One
        round trip, atomic.
        """
        data = self._codec.encode_member(value)
        reply = yield LREM(self._key(key, version), b"%d" % count, data)
        return reply  # type: ignore[no-any-return]

    lrem, alrem = both(_lrem)

    def _ltrim(
        self, key: Any, start: int, end: int, version: int | None = None
    ) -> Plan[bool]:
        """Keep only the elements from `start` to `end`. One round trip, atomic."""
        yield LTRIM(self._key(key, version), b"%d" % start, b"%d" % end)
        return True

    ltrim, altrim = both(_ltrim)

    def _linsert(
        self,
        key: Any,
        where: str,
        pivot: Any,
        value: Any,
        version: int | None = None,
    ) -> Plan[int]:
        """Insert "before" or "after" a pivot; return the length.

        -1 when the pivot is missing, 0 when the list is. One round trip, atomic.
        """
        side = where.upper()
        if side not in ("BEFORE", "AFTER"):
            raise ValueError(f'where must be "before" or "after", not {where!r}')
        encode = self._codec.encode_member
        full = self._key(key, version)
        reply = yield LINSERT(full, side, encode(pivot), encode(value))
        return reply  # type: ignore[no-any-return]

    linsert, alinsert = both(_linsert)

    def _lpos(
        self, key: Any, value: Any, version: int | None = None
    ) -> Plan[int | None]:
        """Return the position of the first element equal to `value`, or None.

        One round trip.
        """
        data = self._codec.encode_member(value)
        return (yield LPOS(self._key(key, version), data))  # type: ignore[no-any-return]

    lpos, alpos = both(_lpos)

    def _lmove(
        self,
        source: Any,
        destination: Any,
        src: str = "LEFT",
        dest: str = "RIGHT",
        version: int | None = None,
    ) -> Plan[Any]:
        """Move an element from an end of a list to an end of another; return it.

        None when the source is empty. One round trip, atomic.
        """
        sides = (src.upper(), dest.upper())
        if not {*sides} <= {"LEFT", "RIGHT"}:
            raise ValueError('src and dest must be "left" or "right"')
        keys = self._full_keys((source, destination), version)
        return self._element((yield LMOVE(*keys, *sides)))

    lmove, almove = both(_lmove)

    def _element(self, data: Any) -> Any:
        return None if data is None else self._codec.decode_member(data)

    def _elements(self, reply: Any) -> list[Any]:
        return list(map(self._codec.decode_member, reply or ()))
