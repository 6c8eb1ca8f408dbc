"""What a layer is on the server: its keys, its commands, and what messages look like.

    redpony{TAG}:channels-inbox:...:log    what was sent to one process, unread: a stream
    redpony{TAG}:channels-group:...:log    what was sent to a group, the last of it
    redpony{TAG}:channels-group:...:members  the processes and queues in it
    redpony{TAG}:channels-queue:...:log    a channel that several may read: a list

Beside each log lies its last number. What is published goes to a channel named like the
log, and the database.

A message in a log is one letter and the rest: `m` to the whole group; `l` a channel that
leaves it; `d` to a channel of the process, whose name and a 0 come first; `j` a channel
of the process joins a group.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

from redpony.alias import Alias
from redpony.commands import Access, Command, Kind, Repeat, call
from redpony.keys import beside, escape_glob
from redpony.scripts import script
from redpony.wire.config import Cluster

PAGE: Final = 100
"""Messages that are read from a log at once."""

PATIENCE: Final = 2.0
"""Seconds that reading a log may take."""

XDEL: Final = Kind("XDEL", Access.WRITE, Repeat.REPLY_DIFFERS, slice(0, 1), (int,))
ZREM: Final = Kind("ZREM", Access.WRITE, Repeat.REPLY_DIFFERS, slice(0, 1), (int,))
PUBLISH: Final = Kind("PUBLISH", Access.WRITE, Repeat.NEVER, None, (int,))
SPUBLISH: Final = Kind("SPUBLISH", Access.WRITE, Repeat.NEVER, slice(0, 1), (int,))

SCRIPTS: Final = (
    *("layer_send", "layer_group_send", "layer_join", "layer_since"),
    *("layer_put", "layer_take", "layer_return"),
)


class Names(NamedTuple):
    """The keys of one log, and what is published beside it."""

    log: str
    last: str
    members: str
    channel: bytes


class Terms:
    """The keys and the commands of one layer."""

    def __init__(
        self, alias: Alias, prefix: str, expiry: float, group_expiry: float
    ) -> None:
        self.sharded = isinstance(alias.config.topology, Cluster)
        """Whether it publishes to the server of a slot alone."""
        self._prefix = f"{alias.config.key_prefix}:{prefix}"
        self._db = alias.config.link.db
        self._expiry = b"%d" % (expiry * 1000)
        self._group_expiry = b"%d" % (group_expiry * 1000)
        self._flag = b"1" if self.sharded else b"0"
        self.control = self._named("channels-control", "").channel

    # Names

    def inbox(self, name: str) -> Names:
        return self._named("channels-inbox", name)

    def group(self, name: str) -> Names:
        return self._named("channels-group", name)

    def queue(self, name: str) -> Names:
        return self._named("channels-queue", name)

    def _named(self, room: str, name: str) -> Names:
        return _names(self._prefix, self._db, room, name)

    def everything(self) -> list[str]:
        """Return the patterns of all keys that a layer may have."""
        head = escape_glob(self._prefix)
        rooms = "channels-*"
        # Where the prefix has braces of its own, the tag is another.
        return [f"redpony{{{head}:*}}:{rooms}:*", f"redpony{{*}}:{rooms}:{head}:*"]

    def is_own(self, key: bytes) -> bool:
        """Whether a key is this layer's, and not of one whose prefix begins so."""
        text = key.decode("utf-8", "replace")
        for room in ("inbox", "group", "queue"):
            tag, found, rest = text.partition(f"}}:channels-{room}:")
            if found:
                whole = rest.rpartition(":")[0] or tag.removeprefix("redpony{")
                return whole.rpartition(":")[0] == self._prefix
        return False

    # Commands

    def send(self, names: Names, frame: bytes, capacity: int) -> Command:
        """To a process: 1, or 0 if it is full; a capacity of -1 is none."""
        args = (frame, self._expiry, b"%d" % capacity, names.channel, self._flag)
        return call(script("layer_send"), names[:2], args)

    def group_send(self, names: Names, frame: bytes, longest: int) -> Command:
        """To a group: the queues in it."""
        args = (frame, self._expiry, b"%d" % longest, names.channel, self._flag)
        return call(script("layer_group_send"), names[:3], args)

    def join(self, names: Names, who: str) -> Command:
        """Into a group: the last number."""
        keys = names[:3]
        args = (who, self._group_expiry)
        return call(script("layer_join"), keys, args, repeat=Repeat.SAFE)

    def leave(self, names: Names, who: str) -> Command:
        return ZREM(names.members, who)

    def since(self, names: Names, number: int, member: str | None) -> Command:
        """What came after: the last number, and a page of entries.

        Whoever reads for a group is in it afterwards, if it is named.
        """
        keys: tuple[str, ...] = names[:2] if member is None else names[:3]
        args = (b"%d" % number, b"%d" % PAGE, member or "", self._group_expiry)
        script_ = script("layer_since")
        return call(script_, keys, args, repeat=Repeat.SAFE, timeout=PATIENCE)

    def received(self, names: Names, numbers: list[int]) -> Command:
        return XDEL(names.log, *[b"%d-0" % each for each in numbers])

    def put(self, names: Names, body: bytes, capacity: int) -> Command:
        """To a queue: 1, or 0 if it is full."""
        args = (body, self._expiry, b"%d" % capacity, names.channel, self._flag)
        return call(script("layer_put"), names[:1], args)

    def take(self, names: Names, count: int) -> Command:
        args = (b"%d" % count, self._expiry)
        return call(script("layer_take"), names[:1], args)

    def give_back(self, names: Names, items: list[bytes]) -> Command:
        args = (self._expiry, names.channel, self._flag, *items)
        return call(script("layer_return"), names[:1], args)

    def publish(self, channel: bytes, text: bytes) -> Command:
        return (SPUBLISH if self.sharded else PUBLISH)(channel, text)


@lru_cache(maxsize=4096)
def _names(prefix: str, db: int, room: str, name: str) -> Names:
    base = beside(f"{prefix}:{name}", room)
    log = f"{base}log"
    return Names(log, f"{base}last", f"{base}members", f"{log}@{db}".encode())


def entries(found: list[Any]) -> list[tuple[int, bytes]]:
    """Return numbers and messages of what XRANGE answers."""
    return [(int(id.partition(b"-")[0]), fields[1]) for id, fields in found]
