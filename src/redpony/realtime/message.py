"""A message: as it is stored and sent, as a browser gets it, and as Python code does.

On the server it is one text: a head, a newline, and the payload. The head is `j` for JSON
or `t` for other text (HTML), then the event's name, and, after a tab, the connection that
is not to have it. It is written once by who publishes, and in each of the forms that
browsers get once a process, whatever the number of its readers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from redpony.realtime.position import Position

JSON: Final = "j"
TEXT: Final = "t"


def pack_message(kind: str, text: str, event: str, exclude: str) -> bytes:
    """Return a message as it is stored."""
    head = f"{kind}{event}\t{exclude}" if exclude else f"{kind}{event}"
    return f"{head}\n{text}".encode()


class Entry:
    """A message of a channel, as it came from the server; shared by all its readers."""

    __slots__ = (
        "_envelope",
        "_enveloped",
        "_exclude",
        "_lines",
        "_numbered",
        "body",
        "name",
        "position",
    )

    def __init__(self, name: str, position: Position | None, body: bytes) -> None:
        self.name = name
        self.position = position
        self.body = body
        self._envelope: str | None = None
        self._enveloped: bytes | None = None
        self._exclude: str | None = None
        self._lines: bytes | None = None
        self._numbered: bytes | None = None

    def parts(self) -> tuple[str, str, str, str]:
        """Return the kind, the event, who is not to have it, and the payload's text."""
        head, _, text = self.body.decode("utf-8", "replace").partition("\n")
        event, _, exclude = head[1:].partition("\t")
        return head[:1], event, exclude, text

    @property
    def exclude(self) -> str:
        """The connection that is not to have it, or ''."""
        found = self._exclude
        if found is None:
            tab = self.body.find(b"\t", 0, self.body.find(b"\n"))
            found = self._exclude = "" if tab < 0 else self.parts()[2]
        return found

    @property
    def envelope(self) -> str:
        """The message for `realtime.js`: an object of one line."""
        found = self._envelope
        if found is None:
            kind, event, _, text = self.parts()
            data = text if kind == JSON else json.dumps(text)
            place = f',"p":"{self.position}"' if self.position else ""
            named = f',"e":{json.dumps(event)}' if event else ""
            found = f'{{"c":{json.dumps(self.name)}{place}{named},"d":{data}}}'
            self._envelope = found
        return found

    @property
    def enveloped(self) -> bytes:
        """The same as a server-sent event."""
        found = self._enveloped
        if found is None:
            found = self._enveloped = f"data: {self.envelope}\n\n".encode()
        return found

    @property
    def lines(self) -> bytes:
        """The message as a server-sent event, without its id."""
        found = self._lines
        if found is None:
            _, event, _, text = self.parts()
            named = f"event: {event}\n" if event else ""
            found = self._lines = f"{named}{data_lines(text)}\n".encode()
        return found

    @property
    def numbered(self) -> bytes:
        """The same with its position as id, for who reads this channel alone."""
        found = self._numbered
        if found is None:
            if self.position is None:
                found = self.lines
            else:
                found = b"id: %b\n%b" % (str(self.position).encode(), self.lines)
            self._numbered = found
        return found


def data_lines(text: str) -> str:
    """Return a text as the data of a server-sent event.

    A carriage return ends a line there, too, so it comes to a newline.
    """
    if "\n" not in text and "\r" not in text:
        return f"data: {text}\n"
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Message:
    """What a subscriber in Python gets.

    `position` is None where the channel has no history. `data` is the payload, of the
    channel's type where it names one.
    """

    channel: str
    position: Position | None
    data: Any
    event: str = ""


@dataclass(frozen=True, slots=True)
class Reset:
    """Messages of a channel were lost to this subscriber: look at the state again.

    What follows is in order and without gaps from `position` on.
    """

    channel: str
    position: Position | None
    why: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A slow subscriber did not get `count` messages, by the channel's policy."""

    channel: str
    position: Position | None
    count: int
