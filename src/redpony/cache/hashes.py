"""Hashes: fields with values under one key.

The key is a cache key; fields are text as it is. A value is sealed to its key
and field; integers are decimal text, so that `hincrby` works on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from redpony.cache.room import Room
from redpony.commands import (
    HDEL,
    HEXISTS,
    HGET,
    HGETALL,
    HINCRBY,
    HKEYS,
    HLEN,
    HMGET,
    HSET,
    HSETNX,
    Argument,
    Command,
)
from redpony.errors import Tampered, Unavailable, Unreadable, WriteRefused
from redpony.plan import Plan, both


class Hashes(Room):
    """Redis' hash commands on cache keys."""

    def _hset(
        self,
        key: Any,
        field: Any = None,
        value: Any = None,
        mapping: Mapping[Any, Any] | None = None,
        version: int | None = None,
    ) -> Plan[int]:
        """Set a field, or each of a mapping; return how many are new.

        One round trip, atomic.
        """
        if field is None and not mapping:
            raise ValueError("hset needs a field with its value, or a mapping")
        items: list[tuple[Any, Any]] = [] if field is None else [(field, value)]
        items += (mapping or {}).items()
        args: list[Argument] = [self._key(key, version)]
        for name, each in items:
            args.append(_field(name))
            args.append(self._codec.encode_field(str(key), _field(name), each))
        return (yield Command(HSET, tuple(args)))  # type: ignore[no-any-return]

    hset, ahset = both(_hset)

    def _hsetnx(
        self, key: Any, field: Any, value: Any, version: int | None = None
    ) -> Plan[bool]:
        """Set a field that is missing; return whether it was set. One round trip."""
        name = _field(field)
        data = self._codec.encode_field(str(key), name, value)
        return bool((yield HSETNX(self._key(key, version), name, data)))

    hsetnx, ahsetnx = both(_hsetnx)

    def _hget(
        self, key: Any, field: Any, default: Any = None, version: int | None = None
    ) -> Plan[Any]:
        """Return a field's value, or `default`. One round trip."""
        name = _field(field)
        try:
            data = yield HGET(self._key(key, version), name)
        except (Unavailable, WriteRefused) as error:
            return self.alias.degraded("hget", error, default)
        return self._field_value(key, name, data, default)

    hget, ahget = both(_hget)

    def _hmget(
        self, key: Any, fields: Iterable[Any], version: int | None = None
    ) -> Plan[dict[str, Any]]:
        """Return a dict of the fields that are there. One round trip."""
        names = [_field(each) for each in fields]
        if not names:
            return {}
        reply = yield Command(HMGET, (self._key(key, version), *names))
        return self._field_values(key, zip(names, reply, strict=True))

    hmget, ahmget = both(_hmget)

    def _hgetall(self, key: Any, version: int | None = None) -> Plan[dict[str, Any]]:
        """Return all fields with their values. One round trip."""
        reply = yield HGETALL(self._key(key, version))
        if isinstance(reply, list):
            reply = dict(zip(reply[::2], reply[1::2], strict=True))
        return self._field_values(
            key, ((name.decode(), data) for name, data in reply.items())
        )

    hgetall, ahgetall = both(_hgetall)

    def _hvals(self, key: Any, version: int | None = None) -> Plan[list[Any]]:
        """Return all values. One round trip."""
        # HVALS does not say which field a value is sealed to; HGETALL does.
        return list((yield from self._hgetall(key, version)).values())

    hvals, ahvals = both(_hvals)

    def _hkeys(self, key: Any, version: int | None = None) -> Plan[list[str]]:
        """Return all fields. One round trip."""
        reply = yield HKEYS(self._key(key, version))
        return [name.decode() for name in reply]

    hkeys, ahkeys = both(_hkeys)

    def _hlen(self, key: Any, version: int | None = None) -> Plan[int]:
        """Return how many fields there are. One round trip."""
        return (yield HLEN(self._key(key, version)))  # type: ignore[no-any-return]

    hlen, ahlen = both(_hlen)

    def _hexists(self, key: Any, field: Any, version: int | None = None) -> Plan[bool]:
        """Return whether a field is there. One round trip."""
        return bool((yield HEXISTS(self._key(key, version), _field(field))))

    hexists, ahexists = both(_hexists)

    def _hdel(self, key: Any, *fields: Any, version: int | None = None) -> Plan[int]:
        """Delete fields; return how many were there. One round trip."""
        if not fields:
            return 0
        names = tuple(_field(each) for each in fields)
        reply = yield Command(HDEL, (self._key(key, version), *names))
        return reply  # type: ignore[no-any-return]

    hdel, ahdel = both(_hdel)

    def _hincrby(
        self, key: Any, field: Any, amount: int = 1, version: int | None = None
    ) -> Plan[int]:
        """Add to an integer field, which starts at 0; return the new value.

        One round trip, atomic. Raises `NotAnInteger` where it holds something else.
        """
        if type(amount) is not int:
            raise TypeError(f"amount must be an integer, not {type(amount).__name__}")
        full = self._key(key, version)
        reply = yield HINCRBY(full, _field(field), b"%d" % amount)
        return reply  # type: ignore[no-any-return]

    hincrby, ahincrby = both(_hincrby)

    def _field_value(self, key: Any, name: str, data: Any, default: Any) -> Any:
        if data is None:
            return default
        try:
            return self._codec.decode_field(str(key), name, data)
        except (Tampered, Unreadable) as error:
            self.alias.refused(error)
            return default

    def _field_values(
        self, key: Any, pairs: Iterable[tuple[str, Any]]
    ) -> dict[str, Any]:
        missing = object()
        found: dict[str, Any] = {}
        for name, data in pairs:
            value = self._field_value(key, name, data, missing)
            if value is not missing:
                found[name] = value
        return found


def _field(name: Any) -> str:
    if isinstance(name, bytes):
        return name.decode()
    return str(name)
