"""Which locks, semaphores and read-write locks there are on an alias.

They are found by SCAN, a page at a time, among the keys that are no cache entries; what
belongs to one of them leads to it. Whoever has a lock by a cache key, or by a key of its
own (`key=`), leaves a fence beside it, and that is how such a lock is found. As nobody
can tell whose a bare key is, it is taken for a lock while a token of ours is in it, or
something that expires; and a name under another KEY_PREFIX is another project's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from django.core.cache.backends.base import default_key_func

from redpony.alias import Alias, alias_for
from redpony.commands import SCAN
from redpony.conf import alias_config, lock_settings
from redpony.errors import NoPermission, RedponyError, ServerError
from redpony.keys import INTERNAL, beside, is_entry
from redpony.locks.inspection import KINDS, Holder, Inspection, evicting, look, seen
from redpony.locks.running import Running
from redpony.locks.shares import Shares
from redpony.locks.terms import Exclusive, Terms, own_key
from redpony.plan import Batch, Plan, both

START: Final = b"0"

_COMPANIONS = r"(?:(.*):)?(queue|alive|fence|weight|wake:[^:]*)"
_LINE = re.compile(
    rf"redpony\{{([^}}]+)\}}:(lock|semaphore|rw|key)-line:{_COMPANIONS}", re.DOTALL
)
_OWN = re.compile(r"redpony\{([^}]+)\}:(lock|semaphore|rw)(?::(.*))?()", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """What one of them is called."""

    room: str
    """The room of its keys; "key" for a lock that has a bare one."""
    content: str
    """A prefix and a name, or the bare key."""

    @property
    def kind(self) -> str:
        return KINDS.get(self.room, KINDS["lock"])

    @property
    def terms(self) -> Terms:
        """Its terms on the server."""
        if self.room == "key":
            return Exclusive(self.content)
        key = beside(self.content, self.room).removesuffix(":")
        return Exclusive(key) if self.room == "lock" else Shares(key, 1)


def line_of(key: str) -> Line | None:
    """Return what a key belongs to; None if it belongs to none of them."""
    for pattern, suffix in ((_LINE, "-line"), (_OWN, "")):
        found = pattern.fullmatch(key)
        if found is None:
            continue
        tag, room, rest, companion = found.groups()
        content = tag if rest is None else rest
        begins = beside(content, room + suffix)
        if key == (begins + companion if companion else begins.removesuffix(":")):
            return Line(room, content)
    return None


class Directory(Running):
    """The locks, semaphores and read-write locks of an alias.

        for each in Directory():
            print(each.name, each.holder)

    `async for` does the same in asyncio. Each is an instance of
    `redpony.locks.inspection.Inspection`, of those that somebody has or waits for.
    """

    name = "*"

    def __init__(self, using: str | Alias | None = None) -> None:
        if using is None:
            using = lock_settings().alias
        self.alias = alias_for(alias_config(using)) if isinstance(using, str) else using
        self.prefix = self.alias.config.key_prefix

    def _page(
        self, cursor: bytes = START, *, everything: bool = False
    ) -> Plan[tuple[bytes, list[Inspection]]]:
        """Return the next cursor (`b"0"` at the end) and some of them.

        `everything`: also those of which a fence is all that is left. Some may come
        on several pages. Two or three round trips; SCAN looks at `SCAN_PAGE` keys.
        """
        count = b"%d" % self.alias.config.scan_page
        cursor, keys = yield SCAN(cursor, b"MATCH", f"{INTERNAL}*", b"COUNT", count)
        lines = (line_of(key.decode(errors="replace")) for key in keys)
        return cursor, (yield from self._read(filter(None, lines), everything))

    page, apage = both(_page)

    def find(self, *, everything: bool = False) -> Iterator[Inspection]:
        """Iterate over them, page by page, each once; see `page`."""
        met: set[str] = set()
        cursor = START
        while True:
            cursor, found = self.page(cursor, everything=everything)
            yield from _new(found, met)
            if cursor == START:
                return

    async def afind(self, *, everything: bool = False) -> AsyncIterator[Inspection]:
        """Iterate over them, page by page, each once; see `page`."""
        met: set[str] = set()
        cursor = START
        while True:
            cursor, found = await self.apage(cursor, everything=everything)
            for each in _new(found, met):
                yield each
            if cursor == START:
                return

    def __iter__(self) -> Iterator[Inspection]:
        return self.find()

    def __aiter__(self) -> AsyncIterator[Inspection]:
        return self.afind()

    def _named(self, name: str) -> Plan[list[Inspection]]:
        """Return those of a name, of all kinds, or of a key of the server.

        Two round trips. Those of which nothing is left, not even a fence, are not found.
        """
        keys = {own_key(self.prefix, name, room) for room in KINDS}
        keys |= {name, self._cache_key(name)}
        lines = [
            line_of(key) if key.startswith(INTERNAL) else Line("key", key)
            for key in sorted(keys)
        ]
        found = yield from self._read(filter(None, lines), everything=True)
        return [each for each in found if each.key in keys]

    named, anamed = both(_named)

    def _evict(self, found: Inspection, holder: Holder) -> Plan[bool]:
        """Take what was found from one of its holders, and wake who comes next.

        Returns whether that one still had it. One round trip; see `Lock.evict`.
        """
        terms: Terms
        if found.kind == KINDS["lock"]:
            terms = Exclusive(found.key)
        else:
            # There is as much room as its holders take, and perhaps more, which the
            # server does not know: those it is enough for come in at once, and the
            # others with their next sign of life.
            terms = Shares(found.key, sum(each.weight for each in found.holders))
        return bool((yield from evicting(terms, (holder,))))

    evict, aevict = both(_evict)

    def _cache_key(self, key: str) -> str:
        config = self.alias.config
        function = config.key_function or default_key_func
        return str(function(key, self.prefix, config.version))

    # Reading

    def _read(self, lines: Iterable[Line], everything: bool) -> Plan[list[Inspection]]:
        """Look at some of them; return those that there are."""
        asked = list(dict.fromkeys(lines))
        own = [each for each in asked if each.room != "key"]
        bare = [each for each in asked if each.room == "key"]
        found: list[Inspection] = []
        seen = yield from self._look(own, NoPermission)
        for line, each in zip(own, seen, strict=True):
            if each and self._is_named(line) and _is_meant(each, everything):
                found.append(replace(each, name=self._name(line)))
        seen = yield from self._look(bare)
        for line, each in zip(bare, seen, strict=True):
            if each and self._is_ours(line, each) and _is_meant(each, everything):
                found.append(each)
        return found

    def _look(
        self, asked: list[Line], raises: type[RedponyError] | None = None
    ) -> Plan[list[Inspection | None]]:
        """Look at all of these at once; None for what is no lock at all."""
        if not asked:
            return []
        found: list[Inspection | None] = []
        terms = [each.terms for each in asked]
        replies = yield Batch([look(each) for each in terms])
        for line, each, reply in zip(asked, terms, replies, strict=True):
            if not isinstance(reply, RedponyError):
                found.append(seen(reply, each, line.kind, line.content))
            elif isinstance(reply, ServerError) and not (
                raises and isinstance(reply, raises)
            ):
                found.append(None)
            else:
                raise reply
        return found

    def _is_ours(self, line: Line, found: Inspection) -> bool:
        """Whether what a bare key holds is a lock, and not a value of somebody's."""
        if is_entry(line.content, self.prefix, self.alias.config.version):
            return True
        holder = found.holder
        return holder is not None and (
            holder.host is not None or holder.remaining is not None
        )

    def _is_named(self, line: Line) -> bool:
        return line.content.startswith(f"{self.prefix}:")

    def _name(self, line: Line) -> str:
        return line.content[len(self.prefix) + 1 :]

    def _explain(self, error: RedponyError) -> RedponyError:
        if isinstance(error, NoPermission):
            error.add_note(f'In CACHES["{self.alias.name}"].')
        return error


def _is_meant(found: Inspection, everything: bool) -> bool:
    return found.is_known if everything else found.is_wanted


def _new(found: list[Inspection], met: set[str]) -> Iterator[Inspection]:
    for each in found:
        if each.key not in met:
            met.add(each.key)
            yield each
