"""Messages that a test keeps to itself: see `redpony.testing.capture_messages`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redpony.realtime.publishing import Draft

_captors: list[Callable[[Draft], None]] = []


def begin(captor: Callable[[Draft], None]) -> None:
    """Give a captor every message that would be published from now on."""
    _captors.append(captor)


def end(captor: Callable[[Draft], None]) -> None:
    _captors.remove(captor)


def takes(drafts: Sequence[Draft]) -> bool:
    """Give messages to the last captor; return whether there is one."""
    if not _captors:
        return False
    for each in drafts:
        _captors[-1](each)
    return True


def is_on() -> bool:
    """Return whether a test keeps messages to itself."""
    return bool(_captors)
