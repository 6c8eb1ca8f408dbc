"""MULTI ... EXEC as one flight, for both drivers.

The commands are answered QUEUED where they stand; their replies come with EXEC's.
A transaction that EXEC did not answer has one outcome for all of its commands.
ASKING, where it is the first, stands before MULTI: it holds until EXEC then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redpony.commands import ASKING, EXEC, MULTI, Command, Kind
from redpony.errors import ProtocolError, RedponyError
from redpony.wire.replies import misfit, pack


def fold(commands: Sequence[Command]) -> tuple[bytes, list[Command]]:
    """Return the bytes of MULTI ... EXEC, and what the replies are checked against."""
    before = commands[: _asking(commands)]
    commands = commands[len(before) :]
    inner = b"".join([pack(each.words(source=True)) for each in commands])
    queued = [
        Command(Kind(each.name, each.access, each.repeat, None, MULTI.reply), ())
        for each in commands
    ]
    start = b"".join([pack(each.words()) for each in (*before, MULTI())])
    return start + inner + pack(EXEC.parts), [*before, MULTI(), *queued, EXEC()]


def unfold(commands: Sequence[Command], items: list[Any]) -> list[Any]:
    """Return one item for each command of MULTI ... EXEC."""
    if asking := _asking(commands):
        return items[:asking] + unfold(commands[asking:], items[asking:])
    executed = items[-1]
    if isinstance(executed, list):
        for command, item in zip(commands, executed, strict=True):
            wrong = misfit(command.kind, item)
            if wrong is not None:
                return [wrong] * len(commands)
        return executed
    refused = [item for item in items[1:-1] if isinstance(item, RedponyError)]
    reason = refused[0] if refused else executed
    if not isinstance(reason, RedponyError):
        reason = ProtocolError("EXEC was not answered with a list", outcome="unknown")
    return [reason] * len(commands)


def _asking(commands: Sequence[Command]) -> int:
    """Return how many commands stand before MULTI: one or none."""
    return int(commands[0].kind is ASKING)
