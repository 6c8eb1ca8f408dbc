"""Values: get and set, one or many, in one round trip each.

A write reports whether it happened, as django-redis does and Django allows.
`get_many`, `set_many` and `delete_many` are one flight whatever the count; a
huge one is cut into commands of `CHUNK` keys, which still leave together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from redpony import events
from redpony.cache.room import DEFAULT, GONE, Room
from redpony.commands import (
    EXISTS,
    GET,
    MGET,
    MSET,
    MSETEX,
    PERSIST,
    PEXPIRE,
    SET,
    UNLINK,
    Argument,
    Command,
    Lane,
)
from redpony.errors import (
    RedponyError,
    Tampered,
    Unavailable,
    UnknownCommand,
    Unreadable,
    WriteRefused,
)
from redpony.plan import Batch, Invoke, Plan, Raised, both
from redpony.wire.outcomes import may_repeat, tell_retry

CHUNK = 5_000
BULKY = 256 * 1024
_MISSING = object()


class Values(Room):
    """Django's cache methods for single and many values."""

    _own_get: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_get = cls._get is not Values._get

    def _get(
        self,
        key: Any,
        default: Any = None,
        version: int | None = None,
        lasts: float | None = None,
    ) -> Plan[Any]:
        """Return the value stored under a key, or `default`.

        One round trip. A value that is tampered with or unreadable is a miss.
        """
        try:
            data = yield Command(GET, (self._key(key, version),), lasts)
        except Unavailable as error:
            return self.alias.degraded("get", error, default)
        if data is None:
            return default
        try:
            return self._codec.decode(str(key), data)
        except (Tampered, Unreadable) as error:
            self.alias.refused(error)
            return default

    # Both are the plan written out, for the one operation that is called more
    # than all others: see docs/decisions/0010-the-shortest-get.md.

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return the value stored under a key, or `default`.

        One round trip. A value that is tampered with or unreadable is a miss.
        """
        if events.listening or self._own_get:
            return self._run(self._get(key, default, version))
        try:
            data = self._ask(Command(GET, (self._key(key, version),)))
        except RedponyError as error:
            return self._get_failed(error, default)
        return default if data is None else self._decoded(key, data, default)

    async def aget(
        self, key: Any, default: Any = None, version: int | None = None
    ) -> Any:
        """Return the value stored under a key, or `default`; as `get`."""
        if not (events.listening or self._own_get):
            reply = self._read(GET, self._key(key, version))
            if reply is not None:
                try:
                    data = await reply
                except Unavailable as error:
                    link = self.alias.link
                    if not link.config.retries or not may_repeat(error, safe=True):
                        return self._get_failed(error, default)
                    again = Command(GET, (self._key(key, version),), error.left)
                    tell_retry(link.label, (again,), 2, error)
                    return await self._arun(
                        self._get(key, default, version, error.left)
                    )
                else:
                    if data is None:
                        return default
                    if type(data) is bytes:
                        return self._decoded(key, data, default)
                    if not self.alias.routes:
                        return self._get_failed(data, default)
                    # Another server may have it: a plan goes there.
        return await self._arun(self._get(key, default, version))

    def _get_failed(self, error: RedponyError, default: Any) -> Any:
        if isinstance(error, Unavailable) and self.alias.degrades:
            return self.alias.degraded("get", error, default)
        raise self._explained("get", error)

    def _set(
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT,
        version: int | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> Plan[bool]:
        """The plan of `set`."""
        full = self._key(key, version)
        ms = self._milliseconds(timeout)
        if ms == GONE:
            if nx:
                return not (yield EXISTS(full))
            return bool((yield UNLINK(full)))
        data = self._codec.encode(str(key), value)
        reply = yield _set(full, data, ms, nx=nx, xx=xx)
        return reply is not None

    # Written out, because type checkers take an assigned name's type from
    # BaseCache, which has neither `nx` nor an answer.

    def set(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT,
        version: int | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Store a value; return whether it was stored.

        `timeout` is seconds, exact to the millisecond; None keeps it for ever, 0
        or less deletes the key. With `nx` only a missing key is set, with `xx`
        only an existing one. One round trip, atomic. Raises `NotSerializable` or
        `TooLarge` and leaves the old value in place.
        """
        return self._run(self._set(key, value, timeout, version, nx, xx))

    async def aset(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT,
        version: int | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Store a value; return whether it was stored; as `set`."""
        return await self._arun(self._set(key, value, timeout, version, nx, xx))

    def _add(
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT,
        version: int | None = None,
    ) -> Plan[bool]:
        """Store a value if the key is missing; return whether it was stored.

        One round trip, atomic.
        """
        return (yield from self._set(key, value, timeout, version, nx=True))

    add, aadd = both(_add)

    def _delete(
        self, key: Any, version: int | None = None, prefix: str | None = None
    ) -> Plan[bool]:
        """Delete a key; return whether it was there. One round trip."""
        if prefix is None:
            full = self._key(key, version)
        else:
            full = self.key_func(key, prefix, self._version(version))
        return bool((yield UNLINK(full)))

    delete, adelete = both(_delete)

    def _touch(
        self, key: Any, timeout: float | None = DEFAULT, version: int | None = None
    ) -> Plan[bool]:
        """Give a key a new time-out; return whether the key is there.

        None takes its expiry away, 0 or less deletes it. One round trip.
        """
        full = self._key(key, version)
        ms = self._milliseconds(timeout)
        if ms is None:
            replies = yield Batch([EXISTS(full), PERSIST(full)])
            return bool(replies.check()[0])
        if ms == GONE:
            return bool((yield UNLINK(full)))
        return bool((yield PEXPIRE(full, b"%d" % ms)))

    touch, atouch = both(_touch)

    def _has_key(self, key: Any, version: int | None = None) -> Plan[bool]:
        """Return whether a key is there. One round trip."""
        return bool((yield EXISTS(self._key(key, version))))

    has_key, ahas_key = both(_has_key)

    def _get_many(
        self, keys: Iterable[Any], version: int | None = None
    ) -> Plan[dict[Any, Any]]:
        """Return a dict of the keys that are there, with their values.

        One round trip, whatever the count; in a cluster one to each server, at the
        same time. `ON_ERROR: "degrade"` misses the keys of a server that is down,
        and no others.
        """
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}
        full = tuple(self._full_keys(wanted, version))
        try:
            if len(full) <= CHUNK:
                found = yield Command(MGET, full)
            else:
                replies = yield Batch(
                    [MGET.of(part, lane=Lane.BULK) for part in _chunks(full)]
                )
                found = [data for reply in replies.check() for data in reply]
        except Unavailable as error:
            found = self.alias.degraded("get_many", error, error.partial)
            if found is None:
                return {}
            found = [None if isinstance(data, RedponyError) else data for data in found]
        texts = wanted if set(map(type, wanted)) == {str} else list(map(str, wanted))
        values, refused = self._codec.decode_many(texts, found)
        for _, reason in refused:
            self.alias.refused(reason)
        if texts is wanted:
            return values
        return {key: values[str(key)] for key in wanted if str(key) in values}

    get_many, aget_many = both(_get_many)

    def _set_many(
        self,
        data: dict[Any, Any],
        timeout: float | None = DEFAULT,
        version: int | None = None,
    ) -> Plan[list[Any]]:
        """Store many values; return the keys that could not be stored.

        One round trip, whatever the count (in a cluster one to each server, at the
        same time); each key by itself is atomic, and one server that has MSETEX sets
        all at once. A value that cannot be serialized
        raises before anything is sent.
        """
        if not data:
            return []
        ms = self._milliseconds(timeout)
        if ms == GONE:
            yield from self._delete_many(data, version)
            return []
        encode = self._codec.encode
        keys = list(data)
        full = self._full_keys(keys, version)
        stored = [encode(str(key), data[key]) for key in keys]
        replies = yield Batch(self._set_commands(full, stored, ms))
        if type(replies[0]) is UnknownCommand:
            # Another server, and an older one, than the one that was greeted.
            replies = yield Batch(self._set_commands(full, stored, ms, at_once=False))
        if len(replies) == 1:
            partial = getattr(replies[0], "partial", None)
            replies = list(replies) * len(keys) if partial is None else partial
        return self._failed(keys, replies)

    def _set_commands(
        self,
        full: list[str],
        stored: list[bytes],
        ms: int | None,
        *,
        at_once: bool = True,
    ) -> list[Command]:
        """Return the commands that store many values with one expiry.

        One command where the server has it for this expiry, else one for each
        key; either way they leave together.
        """
        lane = Lane.BULK if sum(map(len, stored)) > BULKY else None
        if at_once and 1 < len(full) <= CHUNK:
            pairs: list[Argument] = [b""] * (2 * len(full))
            pairs[::2], pairs[1::2] = full, stored
            if ms is None:
                return [MSET.of(tuple(pairs), lane=lane)]
            if self.alias.link.facts.at_least((8, 4), (9, 1)):
                count = b"%d" % len(full)
                words = (count, *pairs, b"PX", b"%d" % ms)
                return [MSETEX.of(words, lane=lane)]
        px = None if ms is None else b"%d" % ms
        tail = () if px is None else (b"PX", px)
        commands = [
            Command(SET, (key, data, *tail))
            for key, data in zip(full, stored, strict=True)
        ]
        if lane is not None:
            commands[0] = SET.of(commands[0].args, lane=lane)
        return commands

    def _failed(self, keys: list[Any], replies: Iterable[Any]) -> list[Any]:
        """Return the keys whose write failed for want of a server; raise others."""
        failed: list[Any] = []
        unavailable: Unavailable | WriteRefused | None = None
        for key, reply in zip(keys, replies, strict=True):
            if isinstance(reply, (Unavailable, WriteRefused)):
                unavailable = reply
                failed.append(key)
            elif isinstance(reply, RedponyError):
                raise reply
        if unavailable is not None:
            self.alias.degraded("set_many", unavailable, None)
        return failed

    set_many, aset_many = both(_set_many)

    def _delete_many(
        self, keys: Iterable[Any], version: int | None = None
    ) -> Plan[int | None]:
        """Delete many keys; return how many were there (None for no keys).

        One round trip, whatever the count.
        """
        full = tuple(self._full_keys(keys, version))
        if not full:
            return None
        if len(full) <= CHUNK:
            return (yield Command(UNLINK, full))  # type: ignore[no-any-return]
        replies = yield Batch([UNLINK.of(part) for part in _chunks(full)])
        return int(sum(replies.check()))

    delete_many, adelete_many = both(_delete_many)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def _get_or_set(
        self,
        key: Any,
        default: Any | Callable[[], Any],
        timeout: float | None = DEFAULT,
        version: int | None = None,
    ) -> Plan[Any]:
        """Return the stored value; if there is none, store and return `default`.

        A callable is called, and in asyncio awaited, only on a miss. If somebody
        else stored a value meanwhile, that one is returned. One round trip for a
        hit, two for a miss.
        """
        value = yield from self._get(key, _MISSING, version)
        if value is not _MISSING:
            return value
        if callable(default):
            made = yield Invoke(default)
            if type(made) is Raised:
                return made
            default = made.value
        ms = self._milliseconds(timeout)
        if ms == GONE:
            return default
        full = self._key(key, version)
        data = self._codec.encode(str(key), default)
        replies = yield Batch([_set(full, data, ms, nx=True), GET(full)])
        try:
            stored, found = replies.check()
        except (Unavailable, WriteRefused) as error:
            return self.alias.degraded("get_or_set", error, default)
        if stored is not None or found is None:
            return default
        return self._decoded(key, found, default)

    get_or_set, aget_or_set = both(_get_or_set)

    def _version(self, version: int | None) -> int:
        return self.version if version is None else version


def _set(
    full: Argument,
    data: Argument,
    ms: int | None,
    *,
    nx: bool = False,
    xx: bool = False,
    lane: Lane | None = None,
) -> Command:
    args: tuple[Argument, ...] = (full, data)
    if ms is not None:
        args += (b"PX", b"%d" % ms)
    if nx:
        args += (b"NX",)
    if xx:
        args += (b"XX",)
    if lane is None and len(data) > BULKY:
        lane = Lane.BULK
    return SET.of(args, lane=lane)


def _chunks(keys: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    for start in range(0, len(keys), CHUNK):
        yield keys[start : start + CHUNK]
