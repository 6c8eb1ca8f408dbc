"""Where a browser is in all of its channels, as one text: the id of a server-sent event.

`1764000000000-7` of a single channel; `order:7@1764000000000-7,bell@...` of several. Names
have neither commas nor "@".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redpony.realtime.position import Position


def cursor_of(positions: Iterable[tuple[str, Position | None]]) -> str:
    """Return the text for some channels' positions."""
    return ",".join(f"{name}@{at}" for name, at in positions if at is not None)


def positions_in(text: str, names: Sequence[str]) -> dict[str, Position]:
    """Return the positions that a text says; what is none is left out.

    A browser sends back what it was given, and what it was given by an older page.
    """
    found: dict[str, Position] = {}
    for part in text.split(","):
        name, at, place = part.rpartition("@")
        if not at and len(names) == 1:
            name = names[0]
        try:
            position = Position.parse(place)
        except ValueError:
            continue
        if name in names:
            found[name] = position
    return found
