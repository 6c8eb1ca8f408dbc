"""The short ways through a topology, which need no route.

`node_for`: one command whose keys lie together. `many`: an `MGET` over a whole
cluster, as one flight of GETs for each server, packed and put together in bulk:
the other way costs an object a key.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from redpony.commands import GET, MGET, Access, Argument, Command, Spread
from redpony.errors import (
    Asked,
    AuthenticationFailed,
    ClusterDown,
    DeadlineExceeded,
    Loading,
    MasterDown,
    Moved,
    NoReplicas,
    ProtocolError,
    ReadOnly,
    RedponyError,
    TryAgain,
    Unavailable,
    WrongType,
)
from redpony.plan import Batch
from redpony.wire.topology import splitting
from redpony.wire.topology.nodes import UNFIT, Node
from redpony.wire.topology.shape import Shape, Shard
from redpony.wire.topology.slots import slot_of

if TYPE_CHECKING:
    from redpony.wire.topology.link import TopologyLink

_READ = Access.READ
_REROUTED = (
    Moved,
    Asked,
    ReadOnly,
    TryAgain,
    ClusterDown,
    MasterDown,
    Loading,
    NoReplicas,
)
_FINAL = (DeadlineExceeded, AuthenticationFailed, ProtocolError)
FEW: Final = 4
"""So many keys are not worth the bulk way."""


def node_for(shape: Shape, command: Command, reads_replicas: bool) -> Node | None:
    """Return the server for a command that takes no route; None where it does.

    A read that may go to a replica takes one, because another server may have to
    answer it.
    """
    kind = command.kind
    if reads_replicas and kind.access is _READ and not kind.paged:
        return None
    table = shape.table
    if table is None:
        return shape.shards[0].primary
    if command.script is None:
        if kind.keys is None:
            return None if kind.spread is Spread.EVERY else shape.shards[0].primary
        keys = command.args[kind.keys]
    else:
        keys = command.keys
    if len(keys) == 1:
        key = keys[0]
        data = key.encode() if isinstance(key, str) else key
        if b"{" in data:
            shard = table[slot_of(data)]
        else:
            shard = table[crc_hqx(data, 0) & 16383]
        return None if shard is None else shard.primary
    if not keys or not splitting.in_one_slot(command):
        return None
    shard = table[slot_of(keys[0])]
    return None if shard is None else shard.primary


def primary_for(shape: Shape, command: Command) -> Node:
    """Return the primary that a command belongs to; raises `CrossSlot`."""
    slot = splitting.slot_for(command) if shape.table is not None else None
    shard = None if slot is None or shape.table is None else shape.table[slot]
    return (shard or shape.shards[0]).primary


def may_go_on(command: Command, error: RedponyError) -> bool:
    """Return whether a route could still lead to an answer: nothing was applied."""
    if isinstance(error, _REROUTED):
        return True
    if not isinstance(error, Unavailable) or isinstance(error, _FINAL):
        return False
    return error.outcome == "not_sent" or command.kind.safe


def refused(
    link: TopologyLink, commands: Sequence[Command], items: list[Any]
) -> list[int]:
    """Return which commands of a batch could still be answered by a route.

    Tells the link what their errors say of the topology.
    """
    found: list[int] = []
    for index, item in enumerate(items):
        if isinstance(item, RedponyError):
            link.learn(item)
            if may_go_on(commands[index], item):
                found.append(index)
    return found


class Part:
    """What one server is asked: the keys' places, and the bytes.

    `spare` says that another one could answer it.
    """

    __slots__ = ("_words", "batch", "node", "places", "spare")

    def __init__(
        self,
        node: Node,
        places: list[int],
        words: list[bytes],
        first: Command,
        spare: bool,
    ) -> None:
        self.node = node
        self.spare = spare
        self.places = places
        self.batch = Batch([first] * len(places))
        self._words = words

    def pack(self) -> bytes:
        """Return the bytes: made when they leave, while the servers before work."""
        words = self._words
        return b"\r\n".join([words[place] for place in self.places]) + b"\r\n"


class Many:
    """An MGET over several servers, under way."""

    __slots__ = ("failed", "found", "keys", "parts", "timeout")

    def __init__(self, command: Command, keys: list[bytes], parts: list[Part]) -> None:
        self.keys = keys
        self.timeout = command.timeout
        self.parts = parts
        self.found: list[Any] = [None] * len(keys)
        self.failed: list[int] = []

    def put(self, part: Part, items: list[Any]) -> None:
        """Take the answers of one server."""
        found = self.found
        for place, item in zip(part.places, items, strict=True):
            found[place] = item
        if set(map(type, items)) <= _PLAIN:
            return
        for place, item in zip(part.places, items, strict=True):
            if type(item) is WrongType:
                found[place] = None
            elif isinstance(item, RedponyError):
                self.failed.append(place)
                if part.spare and isinstance(item, UNFIT):
                    part.node.rest()

    def again(self) -> list[Command]:
        """Return the commands for the keys that were not answered."""
        return [
            Command(GET, (self.keys[place],), self.timeout) for place in self.failed
        ]

    def mend(self, items: list[Any]) -> None:
        """Take the answers to `again`."""
        failed, self.failed = self.failed, []
        for place, item in zip(failed, items, strict=True):
            self.found[place] = None if type(item) is WrongType else item
            if isinstance(self.found[place], RedponyError):
                self.failed.append(place)

    def result(self) -> Any:
        """Return MGET's reply, or the error with what there is of it."""
        if not self.failed:
            return self.found
        failures = [self.found[place] for place in self.failed]
        return splitting.incomplete(Command(MGET, ()), self.found, failures)


def many(link: TopologyLink, command: Command, *, fresh: bool) -> Many | None:
    """Return how an MGET over a cluster leaves; None for everything else."""
    shape = link.known
    if command.kind is not MGET or shape is None or shape.table is None:
        return None
    args = command.args
    if len(args) < FEW:
        return None
    table = shape.table
    keys, tagged = _encoded(args)
    # In steps of one thing each, because a list comprehension costs the least.
    if tagged:
        owners = [table[slot_of(key)] for key in keys]
    else:
        owners = [table[crc_hqx(key, 0) & 16383] for key in keys]
    heads = _HEADS
    try:
        words = [heads[len(key)] + key for key in keys]
    except IndexError:
        words = [_HEAD % len(key) + key for key in keys]
    first = GET.of((b"",), timeout=command.timeout, lane=command.detour)
    groups: defaultdict[Shard | None, list[int]] = defaultdict(list)
    for place, owner in enumerate(owners):
        groups[owner].append(place)
    parts: list[Part] = []
    for shard, places in groups.items():
        if shard is None:
            return None
        node = shard.primary if fresh else shard.reader()
        spare = node is not shard.primary
        parts.append(Part(node, places, words, first, spare))
    return Many(command, keys, parts)


def _encoded(args: tuple[Argument, ...]) -> tuple[list[bytes], bool]:
    """Return keys as bytes, and whether any may have a hash tag.

    All at once, where they can be told apart again.
    """
    try:
        joined = "\0".join(args)  # type: ignore[arg-type]
    except TypeError:
        joined = "\0" * len(args)
    if joined.count("\0") != len(args) - 1:
        keys = [key.encode() if isinstance(key, str) else key for key in args]
        return keys, True
    return joined.encode().split(b"\0"), "{" in joined


_HEAD = b"*2\r\n$3\r\nGET\r\n$%d\r\n"
_HEADS = [_HEAD % size for size in range(512)]
_PLAIN = {bytes, type(None)}
