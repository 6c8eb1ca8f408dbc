"""What a subscription's server says, sans-IO: messages, confirmations, refusals.

A confirmation names what it is of; a refusal does not (`-NOPERM ...`, `-MOVED ...`),
but answers come in the order of what was asked. So a queue of what was asked tells whose
a refusal is, and what comes without its head having been asked for is news: a server that
gives a slot away unsubscribes us from its channels by itself.

In RESP3 it all comes as push messages, in RESP2 as lists. PING is answered by a word, or
by a list where RESP2 is subscribed to something.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from redpony.errors import ProtocolError, RedponyError

PING: Final = (b"ping", b"")

_MESSAGES: Final = {b"message": 2, b"smessage": 2, b"pmessage": 3}
"""What is a message, and where its payload stands."""

_CONFIRMATIONS: Final = frozenset(
    verb + b"subscribe" for verb in (b"", b"un", b"s", b"sun", b"p", b"pun")
)


class Hears(Protocol):
    """Who is told."""

    def message(self, name: bytes, payload: bytes, pattern: bytes | None) -> None: ...
    def subscribed(self, name: bytes) -> None: ...
    def unsubscribed(self, name: bytes) -> None: ...
    def refused(self, name: bytes, error: RedponyError) -> None: ...


class Confirmations:
    """One connection's conversation."""

    def __init__(self, hears: Hears) -> None:
        self._hears = hears
        self._message: Callable[[bytes, bytes, bytes | None], None] = hears.message
        self._asked: deque[tuple[bytes, bytes]] = deque()
        self.is_pinged = False
        """Whether a PING has no answer yet."""

    def ask(self, verb: bytes, name: bytes) -> None:
        """Note that something was asked: `b"SSUBSCRIBE"` and a channel, or `PING`."""
        verb = verb.lower()
        self._asked.append((verb, name))
        if verb == PING[0]:
            self.is_pinged = True

    def hear(self, reply: Any) -> None:
        """Take in what came. Raises `ProtocolError` for what nobody could say."""
        if isinstance(reply, RedponyError):
            self._refuse(reply)
        elif not isinstance(reply, list):
            self._ponged()
        else:
            verb = reply[0]
            if verb in _MESSAGES:
                if verb == b"pmessage":
                    self._message(reply[2], reply[3], reply[1])
                else:
                    self._message(reply[1], reply[2], None)
            elif verb in _CONFIRMATIONS:
                self._confirm(verb, reply[1])
            elif verb == b"pong":
                self._ponged()
            # What else RESP3 may push (invalidations) is not for us.

    def _confirm(self, verb: bytes, name: bytes | None) -> None:
        asked = bool(self._asked) and self._asked[0] == (verb, name)
        if asked:
            self._asked.popleft()
        if name is None:
            return  # unsubscribed from all of nothing
        if not verb.endswith(b"unsubscribe"):
            self._hears.subscribed(name)
        elif not asked:
            self._hears.unsubscribed(name)

    def _refuse(self, error: RedponyError) -> None:
        if not self._asked:
            raise ProtocolError(f"A subscription was told what nobody asked: {error}")
        verb, name = self._asked.popleft()
        if verb == PING[0]:
            self.is_pinged = False
        elif not verb.endswith(b"unsubscribe"):
            self._hears.refused(name, error)

    def _ponged(self) -> None:
        if not self._asked or self._asked[0] != PING:
            raise ProtocolError("A subscription was told what nobody asked")
        self._asked.popleft()
        self.is_pinged = False
