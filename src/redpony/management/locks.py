"""`manage.py redpony locks`: who has which lock, who waits for it, and how to end it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from redpony import embedded
from redpony.conf import alias_config
from redpony.conf.project import backends
from redpony.locks.directory import Directory
from redpony.locks.inspection import Holder, Inspection, Party, Waiter
from redpony.locks.semaphore import EVERYTHING
from redpony.management.text import columns, printable, span

_HEAD: Final = ("KIND", "HOLDER", "LEASE", "FENCE", "WAIT")
_ROOM: Final = 16
_SHORT: Final = {"read-write lock": "rw lock"}

# Of a width that any terminal has.
_AT_WORK: Final = (
    "It may still be at work. It learns of this when it renews its lease, after a",
    "third of it; with a timeout, when it gives the lock back.",
)
_REMEDY: Final = (
    "Only what refuses smaller fences than the next holder's keeps its writes out.",
)


@dataclass(frozen=True, slots=True)
class Found:
    """A lock, and the directory that it was found in."""

    alias: str
    directory: Directory
    lock: Inspection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--alias", help="this alias only")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("name", help="as in Lock(NAME), or the server's key")
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--json", action="store_true", help="for programs")
    parts = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = parts.add_parser(
        "list", parents=[shared, machine], help="those that are held or waited for"
    )
    listed.add_argument(
        "--all", action="store_true", help="also those of which a fence is left"
    )
    parts.add_parser(
        "show", parents=[named, shared, machine], help="one, with all who wait"
    )
    broken = parts.add_parser(
        "break", parents=[named, shared], help="take it from whoever has it"
    )
    broken.add_argument(
        "--token", default="", help="of several holders, the one with this token"
    )
    broken.add_argument(
        "--no-input",
        "--noinput",
        action="store_false",
        dest="interactive",
        help="do not ask",
    )


def locks(
    options: Mapping[str, Any],
    say: Callable[[str], object],
    ask: Callable[[str], str] = input,
) -> tuple[bool, list[str]]:
    """Return whether all is well, and what to print; `say` prints at once."""
    alias = options["alias"]
    names = [alias] if alias else [each.alias for each in backends("Redpony")]
    if not names:
        return True, ["No alias of CACHES is served by Redpony."]
    directories = [(each, Directory(each)) for each in names if not _is_idle(each)]
    if options["action"] == "list":
        found = list(_all(directories, everything=options["all"]))
        if options["json"]:
            return True, [as_json(found)]
        return True, listing(found, everything=options["all"])
    name = options["name"]
    several: dict[tuple[int, str], Found] = {}
    for alias, each in directories:
        for lock in each.named(name):
            # Two aliases may be one place.
            place = (id(each.alias.link), lock.key)
            several.setdefault(place, Found(alias, each, lock))
    found = list(several.values())
    if options.get("json"):
        return bool(found), [as_json(found)]
    if not found:
        return False, [
            f'Nobody has "{printable(name)}" or waits for it, and there is no fence.'
        ]
    if options["action"] == "show":
        return True, [line for each in found for line in (*shown(each), "")][:-1]
    return _break(found, options["token"], options["interactive"], say, ask)


def listing(found: Sequence[Found], *, everything: bool = False) -> list[str]:
    """Return a table, with each key below its name."""
    if not found:
        more = "" if everything else " (--all: those of which a fence is left)"
        return [f"No lock is held or waited for.{more}"]
    several = len({each.alias for each in found}) > 1
    rows = [_row(each, with_alias=several) for each in found]
    head, *table = columns([(*(["ALIAS"] if several else []), *_HEAD), *rows])
    width = max(map(len, (head, *table))) + 2
    lines = [f"{head:{width}}NAME"]
    for each, row in zip(found, table, strict=True):
        lines.append(f"{row:{width}}{printable(each.lock.name)}")
        if each.lock.key != each.lock.name:
            lines.append(f"  {printable(each.lock.key)}")
    held = sum(bool(each.lock.holders) for each in found)
    waiting = sum(_waiting(each.lock) for each in found)
    lines += ["", f"{held} held, {waiting} waiting."]
    return lines


def shown(found: Found) -> Iterator[str]:
    """Yield all that there is to see of one."""
    lock = found.lock
    yield f'{printable(lock.name)}: a {lock.kind} of CACHES["{found.alias}"]'
    rows = [("key", printable(lock.key))]
    rows += _numbered(
        "held by", [_told(each, lock) for each in lock.holders] or ["nobody"]
    )
    if lock.fence is not None:
        rows.append(("fence", f"{lock.fence} ({_whose_fence(lock)})"))
    line = [_queued(each, lock) for each in lock.waiters]
    rows += _numbered("waiting", line or ["nobody"])
    yield from columns(rows, indent=2)


def as_json(found: Iterable[Found]) -> str:
    """Return the same for programs."""
    said = [{"alias": each.alias, **_plain(each.lock)} for each in found]
    return json.dumps({"locks": said}, indent=2)


def _plain(lock: Inspection) -> dict[str, Any]:
    said = asdict(lock)
    for party in (*said["holders"], *said["waiters"]):
        del party["raw"]
    return said


def _break(
    found: Sequence[Found],
    token: str,
    interactive: bool,
    say: Callable[[str], object],
    ask: Callable[[str], str],
) -> tuple[bool, list[str]]:
    if len(found) > 1:
        say("There are several of this name. Name one by its key (and its --alias):")
        return False, [
            f'  {printable(each.lock.key)}  ({each.lock.kind}, CACHES["{each.alias}"])'
            for each in found
        ]
    (one,) = found
    for line in shown(one):
        say(line)
    say("")
    chosen = [each for each in one.lock.holders if token in ("", each.token)]
    if not chosen:
        why = "There is no holder with this token." if token else "Nobody has it."
        return False, [f"{why} Nothing was done."]
    if interactive and not _agreed(ask, len(chosen)):
        return False, ["Nothing was done."]
    lost = [each for each in chosen if one.directory.evict(one.lock, each)]
    lines: list[str] = []
    for each in chosen:
        if each in lost:
            lines.append(f"Taken from {_who(each)}{_fence_of(one.lock)}.")
        else:
            lines.append(f"{_who(each)} had given it back.")
    if lost:
        lines += [*_AT_WORK, *_REMEDY]
    lines += ["", *_after(one)]
    return bool(lost), lines


def _agreed(ask: Callable[[str], str], count: int) -> bool:
    whom = "this holder" if count == 1 else f"these {count} holders"
    try:
        return ask(f"Take it from {whom}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there to answer
        return False


def _after(one: Found) -> Iterator[str]:
    """Say who has come in place of whoever lost it."""
    key = one.lock.key
    before = {each.token for each in one.lock.holders}
    fresh = [
        holder
        for lock in one.directory.named(key)
        if lock.key == key
        for holder in lock.holders
        if holder.token not in before
    ]
    for each in fresh:
        yield f"{_who(each)} has it now."
    if not fresh:
        yield "Nobody has come in its place yet."


def _fence_of(lock: Inspection) -> str:
    return f", whose fence was {lock.fence}" if _is_holders(lock) else ""


def _is_holders(lock: Inspection) -> bool:
    """Whether the last fence is that of the holder."""
    holder = lock.holder
    return lock.kind == "lock" and holder is not None and holder.host is not None


def _whose_fence(lock: Inspection) -> str:
    return "its holder's" if _is_holders(lock) else "the last one given"


def _is_idle(alias: str) -> bool:
    """Whether it is an embedded server that nobody uses: looking starts nothing."""
    address = alias_config(alias).link.address
    return (
        isinstance(address, embedded.Embedded) and not embedded.status(address).running
    )


def _all(
    directories: Iterable[tuple[str, Directory]], *, everything: bool
) -> Iterator[Found]:
    met: set[tuple[int, str]] = set()
    for alias, directory in directories:
        link = id(directory.alias.link)
        some = [
            each
            for each in directory.find(everything=everything)
            if (link, each.key) not in met
        ]
        met.update((link, each.key) for each in some)
        for each in sorted(some, key=lambda each: (each.name, each.kind)):
            yield Found(alias, directory, each)


def _row(found: Found, *, with_alias: bool) -> tuple[str, ...]:
    lock = found.lock
    return (
        *((found.alias,) if with_alias else ()),
        _SHORT.get(lock.kind, lock.kind),
        _holders(lock),
        _left(lock.holder),
        "-" if lock.fence is None else str(lock.fence),
        str(_waiting(lock)),
    )


def _holders(lock: Inspection) -> str:
    holder = lock.holder
    if holder is None:
        return "-"
    if len(lock.holders) == 1:
        return f"{_short(holder)}{_share(holder, lock)}"
    return f"{len(lock.holders)} {_plural(lock)}"


def _plural(lock: Inspection) -> str:
    return "readers" if lock.kind == "read-write lock" else "holders"


def _share(party: Party, lock: Inspection) -> str:
    """What somebody takes of it, where that is not all."""
    if lock.kind == "read-write lock":
        return " writes" if party.weight >= EVERYTHING else " reads"
    return f" x{party.weight}" if party.weight > 1 else ""


def _short(party: Party) -> str:
    if party.host is None:
        return _cut(printable(party.token))
    return f"{_cut(party.host)} {party.pid}"


def _cut(text: str) -> str:
    """As much as a table has room for; `show` has the rest."""
    return text if len(text) <= _ROOM else f"{text[: _ROOM - 3]}..."


def _who(party: Party) -> str:
    if party.host is None:
        return f"{printable(party.token)} (a foreign token)"
    return f"{party.host}, process {party.pid}"


def _told(holder: Holder, lock: Inspection) -> str:
    left = _left(holder)
    lease = "no end" if holder.remaining is None else f"{left} left"
    return f"{_who(holder)}{_share(holder, lock)}, {lease}"


def _queued(waiter: Waiter, lock: Inspection) -> str:
    state = "" if waiter.alive else ", not alive"
    return f"{_who(waiter)}{_share(waiter, lock)}, for {_seconds(waiter.waited)}{state}"


def _numbered(title: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    if len(texts) == 1:
        return [(title, texts[0])]
    return [
        (title if number == 1 else "", f"{number}. {text}")
        for number, text in enumerate(texts, 1)
    ]


def _left(holder: Holder | None) -> str:
    if holder is None:
        return "-"
    return "no end" if holder.remaining is None else _seconds(holder.remaining)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)


def _waiting(lock: Inspection) -> int:
    return sum(each.alive for each in lock.waiters)
