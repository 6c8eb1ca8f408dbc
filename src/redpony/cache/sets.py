"""Sets: members in canonical form, so that the server can compare them.

Equal values have equal bytes, whichever key they are under: intersections and
moves work. 1, 1.0 and True are three members. Members are not sealed: whoever
can write to the server can add one, but none is ever executed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from redpony.cache.room import Room
from redpony.commands import (
    SADD,
    SCARD,
    SDIFF,
    SDIFFSTORE,
    SINTER,
    SINTERSTORE,
    SISMEMBER,
    SMEMBERS,
    SMISMEMBER,
    SMOVE,
    SPOP,
    SRANDMEMBER,
    SREM,
    SSCAN,
    SUNION,
    SUNIONSTORE,
    UNLINK,
    Argument,
    Command,
    Kind,
)
from redpony.errors import CrossSlot, Unavailable, WriteRefused
from redpony.keys import glob
from redpony.plan import Batch, Plan, both

_PAGE = 1000


class Sets(Room):
    """Redis' set commands on cache keys."""

    def _sadd(self, key: Any, *values: Any, version: int | None = None) -> Plan[int]:
        """Add members; return how many are new. One round trip, atomic."""
        return (yield from self._with_members(SADD, key, values, version))

    sadd, asadd = both(_sadd)

    def _srem(self, key: Any, *members: Any, version: int | None = None) -> Plan[int]:
        """Remove members; return how many were there. One round trip, atomic."""
        return (yield from self._with_members(SREM, key, members, version))

    srem, asrem = both(_srem)

    def _with_members(
        self, kind: Kind, key: Any, values: tuple[Any, ...], version: int | None
    ) -> Plan[int]:
        if not values:
            return 0
        encode = self._codec.encode_member
        args: tuple[Argument, ...] = (
            self._key(key, version),
            *map(encode, values),
        )
        return (yield Command(kind, args))  # type: ignore[no-any-return]

    def _scard(self, key: Any, version: int | None = None) -> Plan[int]:
        """Return how many members there are. One round trip."""
        return (yield SCARD(self._key(key, version)))  # type: ignore[no-any-return]

    scard, ascard = both(_scard)

    def _sismember(
        self, key: Any, member: Any, version: int | None = None
    ) -> Plan[bool]:
        """Return whether a value is a member. One round trip."""
        data = self._codec.encode_member(member)
        return bool((yield SISMEMBER(self._key(key, version), data)))

    sismember, asismember = both(_sismember)

    def _smismember(
        self, key: Any, *members: Any, version: int | None = None
    ) -> Plan[list[bool]]:
        """Return for each value whether it is a member. One round trip."""
        if not members:
            return []
        encode = self._codec.encode_member
        args: tuple[Argument, ...] = (
            self._key(key, version),
            *map(encode, members),
        )
        try:
            reply = yield Command(SMISMEMBER, args)
        except (Unavailable, WriteRefused) as error:
            return self.alias.degraded("smismember", error, [False] * len(members))
        return [bool(each) for each in reply]

    smismember, asmismember = both(_smismember)

    def _smembers(self, key: Any, version: int | None = None) -> Plan[set[Any]]:
        """Return all members. One round trip."""
        return self._members((yield SMEMBERS(self._key(key, version))))

    smembers, asmembers = both(_smembers)

    def _smove(
        self, source: Any, destination: Any, member: Any, version: int | None = None
    ) -> Plan[bool]:
        """Move a member from a set to another; return whether it was there.

        One round trip, atomic.
        """
        keys = self._full_keys((source, destination), version)
        return bool((yield SMOVE(*keys, self._codec.encode_member(member))))

    smove, asmove = both(_smove)

    def _spop(
        self, key: Any, count: int | None = None, version: int | None = None
    ) -> Plan[Any]:
        """Remove a random member and return it (None from an empty set).

        With `count`, a set of at most so many. One round trip, atomic.
        """
        full = self._key(key, version)
        if count is None:
            data = yield SPOP(full)
            return None if data is None else self._codec.decode_member(data)
        try:
            return self._members((yield SPOP(full, b"%d" % count)))
        except (Unavailable, WriteRefused) as error:
            return self.alias.degraded("spop", error, set())

    spop, aspop = both(_spop)

    def _srandmember(
        self, key: Any, count: int | None = None, version: int | None = None
    ) -> Plan[Any]:
        """Return a random member (None from an empty set).

        With `count`, a list of at most so many. One round trip.
        """
        full = self._key(key, version)
        if count is None:
            data = yield SRANDMEMBER(full)
            return None if data is None else self._codec.decode_member(data)
        decode = self._codec.decode_member
        try:
            return [decode(data) for data in (yield SRANDMEMBER(full, b"%d" % count))]
        except (Unavailable, WriteRefused) as error:
            return self.alias.degraded("srandmember", error, [])

    srandmember, asrandmember = both(_srandmember)

    def _sdiff(self, *keys: Any, version: int | None = None) -> Plan[set[Any]]:
        """Return the first set's members that no other has. One round trip.

        Sets that a cluster has on several servers are fetched whole, at once.
        """
        return (yield from self._combined(SDIFF, keys, version))

    sdiff, asdiff = both(_sdiff)

    def _sinter(self, *keys: Any, version: int | None = None) -> Plan[set[Any]]:
        """Return the members that all sets have. One round trip; as `sdiff`."""
        return (yield from self._combined(SINTER, keys, version))

    sinter, asinter = both(_sinter)

    def _sunion(self, *keys: Any, version: int | None = None) -> Plan[set[Any]]:
        """Return the members that any set has. One round trip; as `sdiff`."""
        return (yield from self._combined(SUNION, keys, version))

    sunion, asunion = both(_sunion)

    def _combined(
        self, kind: Kind, keys: tuple[Any, ...], version: int | None
    ) -> Plan[set[Any]]:
        full = tuple(self._full_keys(keys, version))
        try:
            return self._members((yield Command(kind, full)))
        except CrossSlot:
            return self._members((yield from _combine(kind, full)))

    def _sdiffstore(
        self,
        dest: Any,
        *keys: Any,
        version_dest: int | None = None,
        version_keys: int | None = None,
    ) -> Plan[int]:
        """Store the difference of sets; return its size. One round trip, atomic.

        Where a cluster has them on several servers it is two, and only the storing
        is atomic: the sets are read just before.
        """
        args = (self._key(dest, version_dest), *self._full_keys(keys, version_keys))
        return (yield from self._stored(SDIFFSTORE, SDIFF, args))

    sdiffstore, asdiffstore = both(_sdiffstore)

    def _sinterstore(
        self, dest: Any, *keys: Any, version: int | None = None
    ) -> Plan[int]:
        """Store the intersection of sets; return its size; as `sdiffstore`."""
        args = tuple(self._full_keys((dest, *keys), version))
        return (yield from self._stored(SINTERSTORE, SINTER, args))

    sinterstore, asinterstore = both(_sinterstore)

    def _sunionstore(
        self, destination: Any, *keys: Any, version: int | None = None
    ) -> Plan[int]:
        """Store the union of sets; return its size; as `sdiffstore`."""
        args = tuple(self._full_keys((destination, *keys), version))
        return (yield from self._stored(SUNIONSTORE, SUNION, args))

    sunionstore, asunionstore = both(_sunionstore)

    def _stored(self, store: Kind, combined: Kind, args: tuple[str, ...]) -> Plan[int]:
        try:
            return (yield Command(store, args))  # type: ignore[no-any-return]
        except CrossSlot:
            found = yield from _combine(combined, args[1:])
        commands = [UNLINK(args[0])]
        if found:
            commands.append(Command(SADD, (args[0], *found)))
        replies = yield Batch(commands, atomic=True)
        replies.check()
        return len(found)

    def _sscan(
        self,
        key: Any,
        match: str | None = None,
        count: int | None = _PAGE,
        version: int | None = None,
    ) -> Plan[set[Any]]:
        """Return the members that match a glob over their text.

        The whole set is looked at, `count` members a round trip.
        """
        found: set[Any] = set()
        cursor = b"0"
        while True:
            cursor, page = yield from self._sscan_page(key, cursor, count, version)
            found |= _matching(page, match)
            if cursor == b"0":
                return found

    sscan, asscan = both(_sscan)

    def _sscan_page(
        self, key: Any, cursor: bytes, count: int | None, version: int | None
    ) -> Plan[tuple[bytes, set[Any]]]:
        """Return the next cursor (b"0" at the end) and some of the members.

        One round trip.
        """
        size = b"%d" % (count or _PAGE)
        reply = yield SSCAN(self._key(key, version), cursor, b"COUNT", size)
        return reply[0], self._members(reply[1])

    sscan_page, asscan_page = both(_sscan_page)

    def sscan_iter(
        self,
        key: Any,
        match: str | None = None,
        count: int | None = _PAGE,
        version: int | None = None,
    ) -> Iterator[Any]:
        """Iterate over the members that match a glob, page by page.

        No connection is held between pages; a member may come twice.
        """
        cursor = b"0"
        while True:
            cursor, page = self.sscan_page(key, cursor, count, version)
            yield from _matching(page, match)
            if cursor == b"0":
                return

    async def asscan_iter(
        self,
        key: Any,
        match: str | None = None,
        count: int | None = _PAGE,
        version: int | None = None,
    ) -> AsyncIterator[Any]:
        """Iterate over the members that match a glob, page by page."""
        cursor = b"0"
        while True:
            cursor, page = await self.asscan_page(key, cursor, count, version)
            for member in _matching(page, match):
                yield member
            if cursor == b"0":
                return

    def _members(self, reply: Any) -> set[Any]:
        return set(map(self._codec.decode_member, reply or ()))


def _combine(kind: Kind, full: tuple[str, ...]) -> Plan[set[bytes]]:
    """Combine sets that no single server has; their members stay as they are."""
    replies = yield Batch([SMEMBERS(key) for key in full])
    first, *others = (set(reply) for reply in replies.check())
    if kind is SDIFF:
        return first.difference(*others)
    if kind is SINTER:
        return first.intersection(*others)
    return first.union(*others)


def _matching(members: set[Any], match: str | None) -> set[Any]:
    if match is None:
        return members
    fits = glob(match).fullmatch
    return {member for member in members if fits(str(member))}
