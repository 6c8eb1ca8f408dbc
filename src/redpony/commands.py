"""Redis' commands as values that say what they are.

A `Kind` is one command's entry: whether it reads or writes, whether it may be
repeated, where its keys stand, which lane it takes, which replies are possible.
Calling a kind with arguments gives a `Command`. Routing, retries, batching and
the check of a reply's shape follow from these facts and from nothing else.

Arguments are bytes (or text, encoded as UTF-8) by the time they get here:
numbers are written as decimal text by the caller, because a C packer must never
see a Python integer of arbitrary size.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from hashlib import sha1
from typing import Any

Argument = bytes | str
Reply = Any
NoneType = type(None)


class Access(enum.Enum):
    READ = "read"
    WRITE = "write"


class Repeat(enum.Enum):
    """What follows when a command is sent a second time.

    `SAFE`: nothing. `REPLY_DIFFERS`: the same state, but perhaps another reply
    (`DEL` answers 0). `NEVER`: another state (`INCR`), or a later writer's value
    undone (`SET`). Only `SAFE` commands are sent again once they may have left.
    """

    SAFE = "safe"
    REPLY_DIFFERS = "reply differs"
    NEVER = "never"


class Lane(enum.Enum):
    """The connection that a command travels on in asyncio.

    `SHARED`: the multiplexed one. `BULK`: a second one, so that a reply of
    megabytes delays no small one. `BLOCKING`: one of its own, because the server
    holds it. `PUSH`: a subscription's.
    """

    SHARED = "shared"
    BULK = "bulk"
    BLOCKING = "blocking"
    PUSH = "push"


class Spread(enum.Enum):
    """Where in a cluster a command without keys goes: to any node, or all primaries."""

    ANY = "any"
    EVERY = "every"


class Script:
    """A Lua script; sent by its digest, and whole when the server forgot it."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source.encode()
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest().encode()

    def __repr__(self) -> str:
        return f"<Script {self.name}>"


class Kind:
    """One of Redis' commands: its name and what always holds for it."""

    __slots__ = (
        "access",
        "fold",
        "keys",
        "lane",
        "name",
        "paged",
        "parts",
        "repeat",
        "reply",
        "safe",
        "shared",
        "spread",
    )

    def __init__(
        self,
        name: str,
        access: Access,
        repeat: Repeat,
        keys: slice | None,
        reply: tuple[type, ...] = (),
        *,
        lane: Lane = Lane.SHARED,
        fold: Callable[[list[Reply]], Reply] | None = None,
        spread: Spread = Spread.ANY,
    ) -> None:
        self.name = name
        self.parts = tuple(word.encode() for word in name.split())
        self.access = access
        self.repeat = repeat
        self.keys = keys
        self.reply = reply
        self.lane = lane
        self.fold = fold
        self.spread = spread
        # What the drivers' shortest paths go by.
        self.shared = lane is Lane.SHARED
        self.safe = repeat is Repeat.SAFE
        # A cursor belongs to the server that gave it: pages come from the primary.
        self.paged = name.endswith("SCAN")

    def __call__(self, *args: Argument, timeout: float | None = None) -> Command:
        return Command(self, args, timeout)

    def of(
        self,
        args: tuple[Argument, ...],
        *,
        timeout: float | None = None,
        lane: Lane | None = None,
    ) -> Command:
        """Return the command for a tuple of arguments, on another lane if asked."""
        if lane is None or lane is self.lane:
            return Command(self, args, timeout)
        return Special(self, args, timeout, detour=lane)

    def __repr__(self) -> str:
        return f"<Kind {self.name}>"


class Command:
    """One command with its arguments: what a plan yields.

    `timeout` (seconds) replaces the link's deadline. One is made for every
    operation, so it holds no more than nearly all of them need; `Special` is the
    rest.
    """

    __slots__ = ("args", "kind", "timeout")

    detour: Lane | None = None
    script: Script | None = None
    numkeys: int = 0
    payload: bytes | None = None
    """What goes over the wire, where it is at hand already."""
    resolves = False
    """Whether its caller finds out by itself what became of it, if the answer is lost."""

    def __init__(
        self,
        kind: Kind,
        args: tuple[Argument, ...],
        timeout: float | None = None,
    ) -> None:
        self.kind = kind
        self.args = args
        self.timeout = timeout

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def access(self) -> Access:
        return self.kind.access

    @property
    def repeat(self) -> Repeat:
        return self.kind.repeat

    @property
    def lane(self) -> Lane:
        return self.detour or self.kind.lane

    @property
    def fold(self) -> Callable[[list[Reply]], Reply] | None:
        return self.kind.fold

    @property
    def keys(self) -> tuple[Argument, ...]:
        """Return the keys among the arguments: what routing goes by."""
        return () if self.kind.keys is None else self.args[self.kind.keys]

    def within(self, timeout: float) -> Command:
        """Return the same command with another timeout, in seconds."""
        return Command(self.kind, self.args, timeout)

    def words(self, *, source: bool = False) -> tuple[Argument, ...]:
        """Return what goes over the wire; `source` sends a script's text whole."""
        del source
        return self.kind.parts + self.args

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and self.words() == other.words()

    def __hash__(self) -> int:
        return hash(self.words())

    def __repr__(self) -> str:
        # Arguments hold keys and values; a name is all that may be printed.
        return f"<Command {self.name} of {len(self.args)} arguments>"


class Special(Command):
    """A command on another lane than its kind's (`detour`), or a script's call.

    A script's arguments are keys and values, without digest and count.
    """

    __slots__ = ("detour", "numkeys", "script")

    def __init__(
        self,
        kind: Kind,
        args: tuple[Argument, ...],
        timeout: float | None = None,
        *,
        detour: Lane | None = None,
        script: Script | None = None,
        numkeys: int = 0,
    ) -> None:
        super().__init__(kind, args, timeout)
        self.detour = detour
        self.script = script
        self.numkeys = numkeys

    @property
    def keys(self) -> tuple[Argument, ...]:
        """Return the keys among the arguments: what routing goes by."""
        return super().keys if self.script is None else self.args[: self.numkeys]

    def within(self, timeout: float) -> Command:
        """Return the same command with another timeout, in seconds."""
        return Special(
            self.kind,
            self.args,
            timeout,
            detour=self.detour,
            script=self.script,
            numkeys=self.numkeys,
        )

    def words(self, *, source: bool = False) -> tuple[Argument, ...]:
        """Return what goes over the wire; `source` sends a script's text whole."""
        if self.script is None:
            return super().words()
        count = str(self.numkeys).encode()
        if source:
            return (b"EVAL", self.script.source, count, *self.args)
        return (b"EVALSHA", self.script.sha, count, *self.args)


class Packed(Command):
    """A command that is packed already, whose caller resolves what became of it."""

    __slots__ = ("payload",)

    resolves = True

    def __init__(self, kind: Kind, args: tuple[Argument, ...], payload: bytes) -> None:
        self.kind = kind
        self.args = args
        self.timeout = None
        self.payload = payload


class Prepared(Special):
    """A script's call that is packed already: for the hottest of them.

    Its arguments are put together only where something is out of the ordinary, and its
    caller finds out what became of it where the answer is lost.
    """

    __slots__ = ("_parts", "payload")

    resolves = True

    def __init__(
        self,
        kind: Kind,
        script: Script,
        parts: tuple[tuple[Argument, ...], bytes, tuple[bytes, ...]],
        payload: bytes,
    ) -> None:
        self.kind = kind
        self.timeout = None
        self.detour = None
        self.script = script
        self.payload = payload
        self._parts = parts

    @property
    def args(self) -> tuple[Argument, ...]:  # type: ignore[override]
        keys, first, more = self._parts
        return (*keys, first, *more)

    @property
    def numkeys(self) -> int:  # type: ignore[override]
        return len(self._parts[0])


def call(
    script: Script,
    keys: tuple[Argument, ...],
    args: tuple[Argument, ...] = (),
    *,
    access: Access = Access.WRITE,
    repeat: Repeat = Repeat.NEVER,
    timeout: float | None = None,
) -> Command:
    """Return the command that runs a script on keys with arguments."""
    kind = _SCRIPTS[access, repeat]
    return Special(kind, keys + args, timeout, script=script, numkeys=len(keys))


_SCRIPTS = {
    (access, repeat): Kind("EVALSHA", access, repeat, None)
    for access in Access
    for repeat in Repeat
}

_R, _W = Access.READ, Access.WRITE
_SAFE, _DIFFERS, _NEVER = Repeat.SAFE, Repeat.REPLY_DIFFERS, Repeat.NEVER
_ONE, _TWO, _ALL = slice(0, 1), slice(0, 2), slice(0, None)

_EVERY = Spread.EVERY


def _first(replies: list[Reply]) -> Reply:
    return replies[0]


_INT = (int,)
_OK = (str, bytes)
_BULK = (bytes, NoneType)
_LIST = (list,)

# Values
GET = Kind("GET", _R, _SAFE, _ONE, _BULK)
MGET = Kind("MGET", _R, _SAFE, _ALL, _LIST)
MSET = Kind("MSET", _W, _NEVER, slice(0, None, 2), _OK)
# MSETEX count key value ... PX milliseconds
MSETEX = Kind("MSETEX", _W, _NEVER, slice(1, -2, 2), _INT)
SET = Kind("SET", _W, _NEVER, _ONE, (bytes, str, NoneType))
DEL = Kind("DEL", _W, _DIFFERS, _ALL, _INT, fold=sum)
UNLINK = Kind("UNLINK", _W, _DIFFERS, _ALL, _INT, fold=sum)
EXISTS = Kind("EXISTS", _R, _SAFE, _ALL, _INT, fold=sum)
TYPE = Kind("TYPE", _R, _SAFE, _ONE, _OK)
RENAME = Kind("RENAME", _W, _NEVER, _TWO, _OK)
INCRBY = Kind("INCRBY", _W, _NEVER, _ONE, _INT)

# Expiry
TTL = Kind("TTL", _R, _SAFE, _ONE, _INT)
PTTL = Kind("PTTL", _R, _SAFE, _ONE, _INT)
EXPIRE = Kind("EXPIRE", _W, _NEVER, _ONE, _INT)
PEXPIRE = Kind("PEXPIRE", _W, _NEVER, _ONE, _INT)
EXPIREAT = Kind("EXPIREAT", _W, _DIFFERS, _ONE, _INT)
PEXPIREAT = Kind("PEXPIREAT", _W, _DIFFERS, _ONE, _INT)
PERSIST = Kind("PERSIST", _W, _DIFFERS, _ONE, _INT)

# The key space
# In a cluster the router scans all primaries, with a cursor that names them.
SCAN = Kind("SCAN", _R, _SAFE, None, _LIST, spread=_EVERY)
FLUSHDB = Kind("FLUSHDB", _W, _DIFFERS, None, _OK, spread=_EVERY, fold=_first)
DUMP = Kind("DUMP", _R, _SAFE, _ONE, _BULK)
RESTORE = Kind("RESTORE", _W, _NEVER, _ONE, _OK)

# Hashes
HGET = Kind("HGET", _R, _SAFE, _ONE, _BULK)
HMGET = Kind("HMGET", _R, _SAFE, _ONE, _LIST)
HGETALL = Kind("HGETALL", _R, _SAFE, _ONE, (dict, list))
HSET = Kind("HSET", _W, _NEVER, _ONE, _INT)
HSETNX = Kind("HSETNX", _W, _NEVER, _ONE, _INT)
HDEL = Kind("HDEL", _W, _DIFFERS, _ONE, _INT)
HEXISTS = Kind("HEXISTS", _R, _SAFE, _ONE, _INT)
HKEYS = Kind("HKEYS", _R, _SAFE, _ONE, (list, set))
HVALS = Kind("HVALS", _R, _SAFE, _ONE, _LIST)
HLEN = Kind("HLEN", _R, _SAFE, _ONE, _INT)
HINCRBY = Kind("HINCRBY", _W, _NEVER, _ONE, _INT)
HINCRBYFLOAT = Kind("HINCRBYFLOAT", _W, _NEVER, _ONE, (bytes, float))
HSCAN = Kind("HSCAN", _R, _SAFE, _ONE, _LIST)

# Sets
SADD = Kind("SADD", _W, _DIFFERS, _ONE, _INT)
SREM = Kind("SREM", _W, _DIFFERS, _ONE, _INT)
SCARD = Kind("SCARD", _R, _SAFE, _ONE, _INT)
SISMEMBER = Kind("SISMEMBER", _R, _SAFE, _ONE, _INT)
SMISMEMBER = Kind("SMISMEMBER", _R, _SAFE, _ONE, _LIST)
SMEMBERS = Kind("SMEMBERS", _R, _SAFE, _ONE, (list, set))
SMOVE = Kind("SMOVE", _W, _NEVER, _TWO, _INT)
SPOP = Kind("SPOP", _W, _NEVER, _ONE, (bytes, NoneType, list, set))
SRANDMEMBER = Kind("SRANDMEMBER", _R, _SAFE, _ONE, (bytes, NoneType, list))
SSCAN = Kind("SSCAN", _R, _SAFE, _ONE, _LIST)
SDIFF = Kind("SDIFF", _R, _SAFE, _ALL, (list, set))
SINTER = Kind("SINTER", _R, _SAFE, _ALL, (list, set))
SUNION = Kind("SUNION", _R, _SAFE, _ALL, (list, set))
SDIFFSTORE = Kind("SDIFFSTORE", _W, _NEVER, _ALL, _INT)
SINTERSTORE = Kind("SINTERSTORE", _W, _NEVER, _ALL, _INT)
SUNIONSTORE = Kind("SUNIONSTORE", _W, _NEVER, _ALL, _INT)

# Sorted sets
ZADD = Kind("ZADD", _W, _NEVER, _ONE, (int, float, bytes, NoneType))
ZCARD = Kind("ZCARD", _R, _SAFE, _ONE, _INT)
ZCOUNT = Kind("ZCOUNT", _R, _SAFE, _ONE, _INT)
ZINCRBY = Kind("ZINCRBY", _W, _NEVER, _ONE, (float, bytes))
ZPOPMAX = Kind("ZPOPMAX", _W, _NEVER, _ONE, _LIST)
ZPOPMIN = Kind("ZPOPMIN", _W, _NEVER, _ONE, _LIST)
ZRANGE = Kind("ZRANGE", _R, _SAFE, _ONE, _LIST)
ZREVRANGE = Kind("ZREVRANGE", _R, _SAFE, _ONE, _LIST)
ZRANGEBYSCORE = Kind("ZRANGEBYSCORE", _R, _SAFE, _ONE, _LIST)
ZREVRANGEBYSCORE = Kind("ZREVRANGEBYSCORE", _R, _SAFE, _ONE, _LIST)
ZRANK = Kind("ZRANK", _R, _SAFE, _ONE, (int, list, NoneType))
ZREVRANK = Kind("ZREVRANK", _R, _SAFE, _ONE, (int, list, NoneType))
ZREM = Kind("ZREM", _W, _DIFFERS, _ONE, _INT)
ZREMRANGEBYSCORE = Kind("ZREMRANGEBYSCORE", _W, _DIFFERS, _ONE, _INT)
ZREMRANGEBYRANK = Kind("ZREMRANGEBYRANK", _W, _NEVER, _ONE, _INT)
ZSCORE = Kind("ZSCORE", _R, _SAFE, _ONE, (float, bytes, NoneType))

# Lists
LPUSH = Kind("LPUSH", _W, _NEVER, _ONE, _INT)
RPUSH = Kind("RPUSH", _W, _NEVER, _ONE, _INT)
LPOP = Kind("LPOP", _W, _NEVER, _ONE, (bytes, list, NoneType))
RPOP = Kind("RPOP", _W, _NEVER, _ONE, (bytes, list, NoneType))
LLEN = Kind("LLEN", _R, _SAFE, _ONE, _INT)
LRANGE = Kind("LRANGE", _R, _SAFE, _ONE, _LIST)
LINDEX = Kind("LINDEX", _R, _SAFE, _ONE, _BULK)
LSET = Kind("LSET", _W, _NEVER, _ONE, _OK)
LREM = Kind("LREM", _W, _NEVER, _ONE, _INT)
LTRIM = Kind("LTRIM", _W, _NEVER, _ONE, _OK)
LINSERT = Kind("LINSERT", _W, _NEVER, _ONE, _INT)
LMOVE = Kind("LMOVE", _W, _NEVER, _TWO, _BULK)
LPOS = Kind("LPOS", _R, _SAFE, _ONE, (int, list, NoneType))
BLPOP = Kind("BLPOP", _W, _NEVER, slice(0, -1), (list, NoneType), lane=Lane.BLOCKING)
BRPOP = Kind("BRPOP", _W, _NEVER, slice(0, -1), (list, NoneType), lane=Lane.BLOCKING)

# The connection and the server
PING = Kind("PING", _R, _SAFE, None, _OK)
ECHO = Kind("ECHO", _R, _SAFE, None, (bytes,))
INFO = Kind("INFO", _R, _SAFE, None, (bytes, str))
CONFIG_GET = Kind("CONFIG GET", _R, _SAFE, None, (dict, list))
DBSIZE = Kind("DBSIZE", _R, _SAFE, None, _INT, spread=_EVERY, fold=sum)
CLIENT_LIST = Kind("CLIENT LIST", _R, _SAFE, None, (bytes, str))
WAIT = Kind("WAIT", _W, _DIFFERS, None, _INT, lane=Lane.BLOCKING)
MULTI = Kind("MULTI", _W, _NEVER, None, _OK)
EXEC = Kind("EXEC", _W, _NEVER, None, (list, NoneType))

# What a topology is asked about itself
HELLO = Kind("HELLO", _R, _SAFE, None, (dict, list))
ROLE = Kind("ROLE", _R, _SAFE, None, _LIST)
ASKING = Kind("ASKING", _R, _SAFE, None, _OK)
CLUSTER_SLOTS = Kind("CLUSTER SLOTS", _R, _SAFE, None, _LIST)
CLUSTER_INFO = Kind("CLUSTER INFO", _R, _SAFE, None, (bytes, str))
SENTINEL_MASTER = Kind("SENTINEL MASTER", _R, _SAFE, None, (dict, list))
SENTINEL_ADDRESS = Kind(
    "SENTINEL GET-MASTER-ADDR-BY-NAME", _R, _SAFE, None, (list, NoneType)
)
SENTINEL_REPLICAS = Kind("SENTINEL REPLICAS", _R, _SAFE, None, _LIST)
SENTINEL_SENTINELS = Kind("SENTINEL SENTINELS", _R, _SAFE, None, _LIST)
