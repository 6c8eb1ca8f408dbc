"""What may be sent again, decided in one place for both colours.

A command is repeated only if it is `SAFE` (a read), or if no server can have
seen it whole. Everything else is at most once: when its answer is lost, the
caller gets the error with `outcome="unknown"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redpony import events
from redpony.commands import Command, Repeat
from redpony.errors import (
    AuthenticationFailed,
    DeadlineExceeded,
    NoScript,
    PoolExhausted,
    ProtocolError,
    ReadOnly,
    Unavailable,
    Unreachable,
)

_FINAL = (DeadlineExceeded, ProtocolError, AuthenticationFailed)


def all_safe(commands: Sequence[Command]) -> bool:
    """Whether sending all of these twice changes nothing."""
    return all(command.kind.repeat is Repeat.SAFE for command in commands)


def may_repeat(error: Unavailable, *, safe: bool) -> bool:
    """Whether a flight that met this error may be sent once more."""
    if isinstance(error, _FINAL):
        return False
    if isinstance(error, Unreachable):
        return error.dropped
    return safe or error.outcome == "not_sent"


def is_final(error: Unavailable) -> bool:
    """Whether another server of the same topology would meet the same."""
    return isinstance(error, _FINAL)


def wants_another_try(item: Any, command: Command) -> bool:
    """Whether a command of a batch was refused in a way that can be mended.

    By a server that has forgotten the script, or that is no primary any more.
    """
    if type(item) is NoScript:
        return command.script is not None
    return type(item) is ReadOnly and item.deposed


def names(commands: Sequence[Command]) -> tuple[str, ...]:
    return tuple(command.kind.name for command in commands)


def tell_retry(
    node: str, commands: Sequence[Command], attempt: int, error: BaseException
) -> None:
    events.emit(events.Retried("", node, names(commands), attempt, error))


def lost(node: str, error: BaseException, *, sent: bool) -> Unavailable:
    """Return the error for a connection that broke under a command."""
    why = "the server closed it" if isinstance(error, EOFError) else str(error)
    if sent:
        return Unavailable(
            f"The connection to {node} was lost before the answer came ({why})",
            outcome="unknown",
        )
    return Unavailable(
        f"The connection to {node} was lost before anything was sent ({why})",
        outcome="not_sent",
    )


def overdue(node: str, seconds: float, *, sent: bool = True) -> DeadlineExceeded:
    """Return the error for an answer that did not come in time."""
    return DeadlineExceeded(
        f"{node} did not answer within {seconds:.3g} s (DEADLINE)",
        outcome="unknown" if sent else "not_sent",
    )


def crowded(node: str, size: int) -> PoolExhausted:
    """Return the error for a wait for a connection that took too long."""
    return PoolExhausted(
        f"All {size} connections to {node} were busy until the deadline; raise "
        'OPTIONS["POOL_SIZE"], or look for slow commands',
        outcome="not_sent",
    )
