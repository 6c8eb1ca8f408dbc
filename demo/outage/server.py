"""Starts the embedded server, freezes it, lets it go on, and ends it.

A frozen process (SIGSTOP) is the worst way to fail: its connections stay open, it
accepts new ones, and it never answers. Whoever waits for it without a deadline
waits for ever. `thaw` is safe to call at any time, and must be called before the
site ends: a frozen server cannot hear that it should stop.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from django.conf import settings

from redpony.embedded import Embedded, status, stop
from redpony.events import BreakerChanged, Event


@dataclass(slots=True)
class _State:
    frozen: int | None = None
    breakers: dict[str, str] = field(default_factory=dict)


_state = _State()


def begin() -> None:
    """Start the server, or join the one that runs, before the first visitor comes."""
    _server().resolve()


def freeze() -> None:
    """Stop the server's process where it stands; blocks for some milliseconds."""
    server = status(_server())
    if server.pid and _state.frozen is None:
        os.kill(server.pid, signal.SIGSTOP)
        _state.frozen = server.pid


def thaw() -> None:
    """Let a frozen server go on."""
    pid, _state.frozen = _state.frozen, None
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def end() -> None:
    """End the server with the site, unless another process uses it too."""
    thaw()
    if status(_server()).users == (os.getpid(),):
        stop(_server())


def state() -> dict[str, str]:
    """Return what the page shows: the server, and the breaker in front of it."""
    breakers = set(_state.breakers.values()) or {"closed"}
    return {
        "redis": "off" if _state.frozen is not None else "on",
        "breaker": "closed" if breakers == {"closed"} else "open",
    }


def note_breaker(event: Event) -> None:
    """Remember what the breakers say."""
    if isinstance(event, BreakerChanged):
        _state.breakers[event.node] = event.state


def _server() -> Embedded:
    return Embedded(str(settings.BASE_DIR))
