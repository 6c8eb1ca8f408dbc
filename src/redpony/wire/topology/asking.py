"""Asking several servers at once, from the watcher's thread.

Servers that do not answer are left out: a topology is what the others say of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redpony.commands import Command
from redpony.plan import Batch
from redpony.wire.link import Link
from redpony.wire.parallel import Sent

PATIENCE = 0.5
"""Seconds that a server has to answer what the topology looks like, at most."""


def ask_all(
    links: Sequence[Link], commands: Sequence[Command]
) -> list[tuple[Link, list[Any]]]:
    """Return what each link answers to the same commands, errors included.

    All are asked before any answer is awaited.
    """
    expires = time.monotonic() + PATIENCE
    batch = Batch(commands, same_connection=True)
    flights = [(link, Sent(link.blocking, batch, expires)) for link in links]
    return [(link, list(sent.land())) for link, sent in flights]


def fields(reply: Any) -> dict[str, str]:
    """Return a map of texts, as RESP3 gives it, or RESP2 as a list of pairs."""
    if isinstance(reply, list):
        reply = dict(zip(reply[::2], reply[1::2], strict=False))
    if not isinstance(reply, dict):
        return {}
    return {text(name): text(value) for name, value in reply.items()}


def text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
