"""One command to several: by the slots of its keys, or to every primary.

A command whose keys lie in one slot stays whole. `MGET` and its like are cut into
one command a key: where they lie in several slots, and where their one slot is on
the move, because a server refuses what needs several keys at once then. What cannot
be cut is refused here, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from redpony.commands import (
    DEL,
    EXISTS,
    GET,
    MGET,
    MSET,
    MSETEX,
    SET,
    UNLINK,
    Command,
    Kind,
)
from redpony.errors import CrossSlot, RedponyError, Unavailable, WrongType
from redpony.wire.topology.slots import slot_of


def slot_for(command: Command) -> int | None:
    """Return the slot of a command's keys; None without keys.

    Raises `CrossSlot` where they lie in several.
    """
    keys = command.keys
    if not keys:
        return None
    slot = slot_of(keys[0])
    for key in keys[1:]:
        if slot_of(key) != slot:
            raise CrossSlot(
                f"CROSSSLOT {command.name} needs its {len(keys)} keys on one server, "
                "and this cluster has them on several; give them one hash tag, as in "
                "{user:1}:a and {user:1}:b"
            )
    return slot


def in_one_slot(command: Command) -> bool:
    """Whether a command can be sent whole."""
    if command.kind is MSETEX:
        # While a slot is on its way, Valkey 9.1.2 does MSETEX where the keys have
        # been, in place of ASK or TRYAGAIN: then both sides have them.
        return False
    keys = command.keys
    if len(keys) < 2:
        return True
    slot = slot_of(keys[0])
    return all(slot_of(key) == slot for key in keys[1:])


def parts_of(command: Command) -> list[Command] | None:
    """Return a command for each key; None for a command that stays whole."""
    cut = _CUTS.get(command.kind)
    return None if cut is None else cut(command)


def merged(command: Command, replies: list[Any]) -> Any:
    """Return the answer to a command from the answers to its parts.

    Where a part has none, that is an error whose `partial` holds what there is.
    """
    kind = command.kind
    if kind is MGET:
        replies = [None if type(each) is WrongType else each for each in replies]
    failures = [each for each in replies if isinstance(each, RedponyError)]
    if failures:
        return incomplete(command, replies, failures)
    if kind is MGET:
        return replies
    if kind is MSETEX:
        return 1
    return replies[0] if kind.fold is None else kind.fold(replies)


def incomplete(
    command: Command, replies: list[Any], failures: Sequence[RedponyError]
) -> RedponyError:
    """Return the error of a command some of whose parts failed."""
    worst = failures[0]
    for each in failures:
        if not isinstance(each, Unavailable):
            worst = each
            break
        if each.outcome == "unknown":
            worst = each
    error = copy(worst)
    error.args = (
        f"{worst} ({len(failures)} of {len(replies)} parts of {command.name})",
    )
    error.__cause__ = worst
    some = len(failures) < len(replies)
    if not command.kind.safe and (some or _any_unknown(failures)):
        # What was asked for has happened in part, or may have.
        error.outcome = "unknown"
    if isinstance(error, Unavailable):
        error.partial = replies
    return error


def _any_unknown(failures: Sequence[RedponyError]) -> bool:
    return any(each.outcome == "unknown" for each in failures)


def _keys_of(kind: Kind) -> Callable[[Command], list[Command]]:
    def cut(command: Command) -> list[Command]:
        return [
            kind.of((key,), timeout=command.timeout, lane=command.detour)
            for key in command.args
        ]

    return cut


def _pairs(command: Command) -> list[Command]:
    args = command.args
    return [
        Command(SET, args[at : at + 2], command.timeout)
        for at in range(0, len(args), 2)
    ]


def _pairs_with_expiry(command: Command) -> list[Command]:
    args = command.args
    tail = args[-2:]
    return [
        Command(SET, (*args[at : at + 2], *tail), command.timeout)
        for at in range(1, len(args) - 2, 2)
    ]


_CUTS: dict[Kind, Callable[[Command], list[Command]]] = {
    MGET: _keys_of(GET),
    DEL: _keys_of(DEL),
    UNLINK: _keys_of(UNLINK),
    EXISTS: _keys_of(EXISTS),
    MSET: _pairs,
    MSETEX: _pairs_with_expiry,
}
