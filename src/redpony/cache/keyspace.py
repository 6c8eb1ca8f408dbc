"""The key space: finding keys by pattern, and removing them.

By SCAN in large pages, never by KEYS; removal by UNLINK, which frees memory in
the background. A page's keys are removed in the flight that fetches the next
page. SCAN may name a key twice and answers for no single moment: a key that is
there from beginning to end is found, others may be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from redpony.cache.room import Room, django_key_function
from redpony.commands import FLUSHDB, SCAN, UNLINK, Command
from redpony.errors import InvalidSetting
from redpony.keys import escape_glob, is_entry, original
from redpony.plan import Batch, Plan, both

START = b"0"
Page = tuple[bytes, list[bytes]]


class KeySpace(Room):
    """Patterns, iteration, and `clear`."""

    def make_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None
    ) -> str:
        """Return the server's glob for a glob over the user's keys.

        Prefix and version are taken literally, whatever they hold.
        """
        head = self.key_prefix if prefix is None else prefix
        number = self.version if version is None else version
        return str(
            self.key_func(pattern, escape_glob(str(head)), escape_glob(str(number)))
        )

    def reverse_key(self, key: str | bytes, version: int | None = None) -> str:
        """Return the user's key for a key of the server."""
        full = key if isinstance(key, str) else _text(key)
        reverse = self.alias.config.reverse_key_function
        if reverse is not None:
            return str(reverse(full))
        number = self.version if version is None else version
        return original(full, self.key_prefix, number)

    def _page(
        self, cursor: bytes, pattern: str, count: int | None = None
    ) -> Plan[Page]:
        """Return the next cursor (`START` at the end) and some of the server's keys.

        One round trip.
        """
        page = count or self.alias.config.scan_page
        return _read((yield _scan(cursor, pattern, page)))

    page, apage = both(_page)

    def _keys(self, search: str = "*", version: int | None = None) -> Plan[list[str]]:
        """Return the user's keys that match a glob; `iter_keys` for many.

        A round trip for each page of `SCAN_PAGE` keys of the database.
        """
        pattern = self.make_pattern(search, version)
        cursor, found = yield from self._page(START, pattern)
        while cursor != START:
            cursor, more = yield from self._page(cursor, pattern)
            found += more
        return [self.reverse_key(full, version) for full in dict.fromkeys(found)]

    keys, akeys = both(_keys)

    def iter_keys(
        self, search: str, itersize: int | None = None, version: int | None = None
    ) -> Iterator[str]:
        """Iterate over the user's keys that match a glob, page by page.

        No connection is held between pages.
        """
        pattern = self.make_pattern(search, version)
        cursor = START
        while True:
            cursor, found = self.page(cursor, pattern, itersize)
            for full in found:
                yield self.reverse_key(full, version)
            if cursor == START:
                return

    async def aiter_keys(
        self, search: str, itersize: int | None = None, version: int | None = None
    ) -> AsyncIterator[str]:
        """Iterate over the user's keys that match a glob, page by page."""
        pattern = self.make_pattern(search, version)
        cursor = START
        while True:
            cursor, found = await self.apage(cursor, pattern, itersize)
            for full in found:
                yield self.reverse_key(full, version)
            if cursor == START:
                return

    def _delete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        itersize: int | None = None,
    ) -> Plan[int]:
        """Delete the keys that match a glob; return how many.

        A round trip for each page, and one more where the last page has some. Not
        atomic: keys that are written meanwhile may stay.
        """
        glob = self.make_pattern(pattern, version, prefix)
        return (yield from self._remove(glob, itersize, every=True))

    delete_pattern, adelete_pattern = both(_delete_pattern)

    def _clear(self) -> Plan[bool]:
        """Delete every entry under this prefix, in all versions; nothing else.

        `CLEAR: "flushdb"` empties the database instead, in one round trip; else
        it takes as many as `delete_pattern`.
        """
        if self.alias.config.clear == "flushdb":
            yield FLUSHDB()
            return True
        yield from self._remove(self._everything(), None, every=False)
        return True

    # BaseCache promises None; what a caller may ignore, it may also have.
    clear, aclear = both(_clear)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def _everything(self) -> str:
        prefix = escape_glob(self.key_prefix)
        if self.key_func is django_key_function:
            return f"{prefix}:*:*"
        pattern = str(self.key_func("*", prefix, "*"))
        if "*" not in pattern:
            raise InvalidSetting(
                "clear() cannot find the entries of this alias: its KEY_FUNCTION "
                'keeps no pattern; set OPTIONS["CLEAR"] = "flushdb" to empty the '
                "whole database, or delete keys by name"
            )
        return pattern

    def _remove(self, glob: str, count: int | None, *, every: bool) -> Plan[int]:
        page = count or self.alias.config.scan_page
        ours = every or self.key_func is not django_key_function
        removed = 0
        cursor, found = _read((yield _scan(START, glob, page)))
        while True:
            if not ours:
                found = [
                    full
                    for full in found
                    if is_entry(_text(full), self.key_prefix, self.version)
                ]
            flight: list[Command] = [Command(UNLINK, tuple(found))] if found else []
            if cursor != START:
                flight.append(_scan(cursor, glob, page))
            if not flight:
                return removed
            replies = (yield Batch(flight)).check()
            if found:
                removed += replies[0]
            if cursor == START:
                return removed
            cursor, found = _read(replies[-1])


def _scan(cursor: bytes, pattern: str, count: int) -> Command:
    return SCAN(cursor, b"MATCH", pattern, b"COUNT", b"%d" % count)


def _read(reply: Any) -> Page:
    cursor, found = reply
    return cursor, found


def _text(key: bytes) -> str:
    return key.decode("utf-8", "replace")
