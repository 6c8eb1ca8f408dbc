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

LISTS: Final = b"*~%>|"
"""First bytes whose replies are looked at before hiredis reads them: `check_head`."""

_ATTRIBUTE: Final = ord("|")
_DIGITS: Final = 8
"""A list whose length has so many digits is refused."""


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


def check_head(data: bytes | bytearray, label: str) -> None:
    """Raise for the head of a list that hiredis should not see.

    An attribute, which it hands out as if it were a reply. And a list of ten million
    items or more: it makes room for all of them at the word of the peer, and to give
    back room for a billion holds the interpreter for many seconds (measured).
    """
    if data[0] == _ATTRIBUTE:
        raise out_of_step(label)
    digits = data[1 : 1 + _DIGITS]
    if len(digits) == _DIGITS and digits.isdigit():
        raise ProtocolError(
            f"{label} announced a list of {10 ** (_DIGITS - 1):,} items or more; no "
            "command of ours has such an answer, and the connection has been closed",
            outcome="unknown",
        )


def out_of_step(label: str) -> ProtocolError:
    """Return the error for bytes that answer nothing that was asked."""
    return ProtocolError(
        f"{label} sent more than was asked for; the connection was out of step "
        "and has been closed",
        outcome="unknown",
    )
