"""`manage.py redpony realtime`: which channels there are, who is on them, what is said."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from redpony.alias import Alias, alias_for
from redpony.commands import GET, SCAN, Access, Kind, Repeat
from redpony.conf import alias_config, realtime_settings
from redpony.errors import NoPermission, RedponyError
from redpony.management.text import columns, printable, span
from redpony.plan import Batch
from redpony.realtime import History, Message, Position, listen, presence
from redpony.realtime.channel import channel_of
from redpony.realtime.places import PATTERN
from redpony.wire.link import Link

XLEN: Final = Kind("XLEN", Access.READ, Repeat.SAFE, slice(0, 1), (int,))
NUMSUB: Final = Kind("PUBSUB NUMSUB", Access.READ, Repeat.SAFE, None, (list,))
SHARDED: Final = Kind(
    "PUBSUB SHARDNUMSUB", Access.READ, Repeat.SAFE, slice(0, 1), (list,)
)

_HEAD: Final = ("POSITION", "KEPT", "READERS", "USERS", "LAST", "CHANNEL")


@dataclass(frozen=True, slots=True)
class Seen:
    """A channel, as it is on the server."""

    channel: str
    position: str
    kept: int | None
    """How many messages of it are in its history; None: it may not be asked."""
    readers: int | None
    """How many event loops of all processes listen to it; None: it may not be asked."""
    users: int
    """How many users are on it, where it tells of presence."""
    idle: float | None
    """Seconds since its last message."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--alias", help="this alias; that of REALTIME if not given")
    shared.add_argument("--json", action="store_true", help="for programs")
    parts = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = parts.add_parser(
        "channels", parents=[shared], help="those to which something was published"
    )
    listed.add_argument("names", nargs="*", help="these alone")
    tail = parts.add_parser(
        "tail", parents=[shared], help="messages, as they are published; Ctrl-C ends it"
    )
    tail.add_argument("names", nargs="+", metavar="CHANNEL")
    tail.add_argument("--since", help="from a position on, such as 0-0")
    tail.add_argument("--timeout", type=float, help="end after so many silent seconds")


def realtime(
    options: Mapping[str, Any], say: Callable[[str], object]
) -> tuple[bool, list[str]]:
    """Return whether all is well, and what to print; `say` prints at once."""
    if options["action"] == "tail":
        return _tail(options, say)
    alias = alias_for(alias_config(options["alias"] or realtime_settings().alias))
    names = options["names"] or list(_names(alias))
    found = [_look(alias, each) for each in sorted(set(names))]
    if options["json"]:
        return True, [json.dumps({"channels": list(map(asdict, found))}, indent=2)]
    if not found:
        return True, ["Nothing was published to any channel."]
    rows = [
        (
            each.position or "-",
            "-" if each.kept is None else str(each.kept),
            "-" if each.readers is None else str(each.readers),
            str(each.users) if each.users else "-",
            "-" if each.idle is None else f"{span(each.idle)} ago",
            printable(each.channel),
        )
        for each in found
    ]
    return True, [*columns([_HEAD, *rows]), "", f"{len(found)} channels."]


def _names(alias: Alias) -> Iterator[str]:
    """Yield the names of channels with a position, by SCAN."""
    middle = f"}}:rt-at:{alias.config.key_prefix}:"
    cursor = b"0"
    met: set[str] = set()
    while True:
        cursor, keys = alias.ask(
            SCAN(cursor, b"MATCH", f"{PATTERN}{middle}*", b"COUNT", b"1000")
        )
        for key in keys:
            name = key.decode(errors="replace").partition(middle)[2]
            if name not in met:
                met.add(name)
                yield name
        if cursor == b"0":
            return


def _look(alias: Alias, name: str) -> Seen:
    channel = channel_of(name)
    vars(channel)["alias"] = alias
    keys = channel.keys
    at, kept = alias.link.blocking.ask_all(Batch([GET(keys.at), XLEN(keys.stream)]))
    for reply in (at, kept):
        if isinstance(reply, RedponyError) and not isinstance(reply, NoPermission):
            raise reply
    position = Position.parse(at) if at else None
    return Seen(
        name,
        str(position or ""),
        kept if isinstance(kept, int) else None,
        _readers(alias, keys.stream, sharded=channel.is_sharded),
        presence(channel).count(),
        _idle(alias, keys.at, channel.keeps),
    )


def _readers(alias: Alias, stream: bytes, *, sharded: bool) -> int | None:
    try:
        return _listening(alias, stream, sharded=sharded)
    except NoPermission:
        return None


def _listening(alias: Alias, stream: bytes, *, sharded: bool) -> int:
    if sharded:
        return int(alias.ask(SHARDED(stream))[1])
    if isinstance(alias.link, Link):
        return int(alias.ask(NUMSUB(stream))[1])
    node = alias.link.known.primaries[0] if alias.link.known else None
    return 0 if node is None else int(node.blocking.ask(NUMSUB(stream))[1])


def _idle(alias: Alias, at: bytes, history: History | None) -> float | None:
    """Return how long ago the last message was: from what its position has left."""
    from redpony.commands import PTTL
    from redpony.realtime.channel import lives

    left: int = alias.ask(PTTL(at))
    if history is None or left < 0:
        return None
    return max(int(lives(history)) - left, 0) / 1000


def _tail(
    options: Mapping[str, Any], say: Callable[[str], object]
) -> tuple[bool, list[str]]:
    channels = [channel_of(name) for name in options["names"]]
    if options["alias"]:
        alias = alias_for(alias_config(options["alias"]))
        for channel in channels:
            vars(channel)["alias"] = alias
    count = 0
    since = options["since"]
    try:
        with listen(*channels, since=since, timeout=options["timeout"]) as messages:
            for each in messages:
                count += 1
                say(_as_json(each) if options["json"] else _line(each))
    except KeyboardInterrupt:
        pass
    return True, [] if options["json"] else [f"{count} messages."]


def _line(item: Any) -> str:
    head = f"{time.strftime('%H:%M:%S')}  {item.position or '-'}  {item.channel}  "
    if not isinstance(item, Message):
        return f"{head}-- {item.why if hasattr(item, 'why') else 'skipped'} --"
    data = json.dumps(item.data, default=str, ensure_ascii=False)
    event = f"[{item.event}] " if item.event else ""
    return printable(f"{head}{event}{data}")


def _as_json(item: Any) -> str:
    said = {"kind": type(item).__name__.lower(), **asdict(item)}
    said["position"] = str(item.position) if item.position else None
    return json.dumps(said, default=str)
