"""MULTI ... EXEC as one flight, for both drivers.

The commands are answered QUEUED where they stand; their replies come with EXEC's.
A transaction that EXEC did not answer has one outcome for all of its commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redpony.commands import EXEC, MULTI, Command, Kind
from redpony.errors import ProtocolError, RedponyError
from redpony.wire.replies import misfit, pack


def fold(commands: Sequence[Command]) -> tuple[bytes, list[Command]]:
    """Return the bytes of MULTI ... EXEC, and what the replies are checked against."""
    inner = b"".join([pack(each.words(source=True)) for each in commands])
    queued = [
        Command(Kind(each.name, each.access, each.repeat, None, MULTI.reply), ())
        for each in commands
    ]
    return pack(MULTI.parts) + inner + pack(EXEC.parts), [MULTI(), *queued, EXEC()]


def unfold(commands: Sequence[Command], items: list[Any]) -> list[Any]:
    """Return one item for each command of MULTI ... EXEC."""
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
