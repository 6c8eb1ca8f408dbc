"""Expiry: how long keys live, in seconds, milliseconds or as points in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from redpony.cache.room import DEFAULT, Room, milliseconds, moment
from redpony.commands import PERSIST, PEXPIRE, PEXPIREAT, PTTL
from redpony.plan import Plan, both


class Expiry(Room):
    """django-redis' methods on a key's time to live."""

    def _ttl(self, key: Any, version: int | None = None) -> Plan[int | None]:
        """Return the seconds a key has left: None without expiry, 0 if missing.

        Rounded up, so that a key which is there never has 0. One round trip.
        """
        left = yield PTTL(self._key(key, version))
        if left < 0:
            return None if left == -1 else 0
        return int(-(-left // 1000))

    ttl, attl = both(_ttl)

    def _pttl(self, key: Any, version: int | None = None) -> Plan[int | None]:
        """Return the milliseconds a key has left: None without expiry, 0 if missing.

        One round trip.
        """
        left = yield PTTL(self._key(key, version))
        if left < 0:
            return None if left == -1 else 0
        return left  # type: ignore[no-any-return]

    pttl, apttl = both(_pttl)

    def _expire(
        self,
        key: Any,
        timeout: float | timedelta | None = DEFAULT,
        version: int | None = None,
    ) -> Plan[bool]:
        """Let a key expire in some seconds; return whether it is there.

        One round trip.
        """
        full = self._key(key, version)
        ms = self._milliseconds(timeout)
        if ms is None:
            return bool((yield PERSIST(full)))
        return bool((yield PEXPIRE(full, b"%d" % ms)))

    expire, aexpire = both(_expire)

    def _pexpire(
        self,
        key: Any,
        timeout: float | timedelta | None = DEFAULT,
        version: int | None = None,
    ) -> Plan[bool]:
        """Let a key expire in some milliseconds; return whether it is there.

        One round trip.
        """
        full = self._key(key, version)
        if timeout is DEFAULT:
            ms = self._milliseconds(timeout)
        elif isinstance(timeout, timedelta):
            ms = milliseconds(timeout)
        else:
            seconds = milliseconds(timeout)
            ms = None if seconds is None else -(-seconds // 1000)
        if ms is None:
            return bool((yield PERSIST(full)))
        return bool((yield PEXPIRE(full, b"%d" % ms)))

    pexpire, apexpire = both(_pexpire)

    def _expire_at(
        self, key: Any, when: datetime | float, version: int | None = None
    ) -> Plan[bool]:
        """Let a key expire at a point in time (seconds, or a datetime).

        Returns whether it is there; a time gone by deletes it. One round trip.
        """
        ms = moment(when, 1000)
        return bool((yield PEXPIREAT(self._key(key, version), b"%d" % ms)))

    expire_at, aexpire_at = both(_expire_at)

    def _pexpire_at(
        self, key: Any, when: datetime | float, version: int | None = None
    ) -> Plan[bool]:
        """Let a key expire at a point in time (milliseconds, or a datetime).

        Returns whether it is there; a time gone by deletes it. One round trip.
        """
        ms = moment(when, 1)
        return bool((yield PEXPIREAT(self._key(key, version), b"%d" % ms)))

    pexpire_at, apexpire_at = both(_pexpire_at)

    def _persist(self, key: Any, version: int | None = None) -> Plan[bool]:
        """Take a key's expiry away; return whether it had one. One round trip."""
        return bool((yield PERSIST(self._key(key, version))))

    persist, apersist = both(_persist)
