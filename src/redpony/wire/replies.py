"""Replies as hiredis reads them, and the guard against replies out of step.

One reader belongs to one connection. Once it has met a protocol error, or a
reply that its command cannot have, the connection is closed: an answer given to
the wrong question is the worst that a client can do. (A RESP3 attribute, for
one, comes out of hiredis as an ordinary reply and would shift all that follow.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from redpony.commands import Argument, Command, Kind
from redpony.errors import ProtocolError, RedponyError, from_reply

ATTRIBUTE: Final = ord("|")
"""The first byte of an attribute, which hiredis hands out as if it were a reply."""


class Garbled(ProtocolError):
    """What hiredis raises, which keeps the type and makes the error itself."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"The peer does not speak Redis' protocol ({message}); is this the "
            "address of a Redis or Valkey server?",
            outcome="unknown",
        )


class _Incomplete:
    __slots__ = ()

    def __repr__(self) -> str:
        return "INCOMPLETE"


INCOMPLETE: Final = _Incomplete()
"""What a reader returns while a reply is not whole. (False is a RESP3 reply.)"""

PushNotification: type = hiredis.PushNotification

pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)


def new_reader() -> Any:
    """Return a reader for one connection."""
    return hiredis.Reader(
        protocolError=Garbled,
        replyError=from_reply,
        notEnoughData=INCOMPLETE,
    )


def pack_all(commands: list[Command] | tuple[Command, ...]) -> bytes:
    """Return the bytes of several commands, in order."""
    return b"".join([pack(command.words()) for command in commands])


def misfit(kind: Kind, reply: Any) -> ProtocolError | None:
    """Return an error if this cannot be the command's reply."""
    possible = kind.reply
    # By type and not by class: a boolean is an `int`, and never a count.
    if not possible or type(reply) in possible or isinstance(reply, RedponyError):
        return None
    return ProtocolError(
        f"{kind.name} was answered with {type(reply).__name__}, which it never "
        "is: the connection was out of step and has been closed",
        outcome="unknown",
    )


def out_of_step(label: str) -> ProtocolError:
    """Return the error for bytes that answer nothing that was asked."""
    return ProtocolError(
        f"{label} sent more than was asked for; the connection was out of step "
        "and has been closed",
        outcome="unknown",
    )
