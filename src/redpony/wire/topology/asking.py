"""Asking several servers at once, from the watcher's thread.

Servers that do not answer are left out: a topology is what the others say of it. So
nobody waits long for one that hangs: each is asked in a thread of its own, and once
one has answered, the others have a moment to do so, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from redpony.commands import Command
from redpony.errors import DeadlineExceeded, RedponyError
from redpony.plan import Batch
from redpony.wire.link import Link

PATIENCE = 0.5
"""Seconds that a server has to answer what the topology looks like, at most."""

GRACE = 0.1
"""Seconds that the others have once one server has answered."""


def ask_all(
    links: Sequence[Link], commands: Sequence[Command]
) -> list[tuple[Link, list[Any]]]:
    """Return what each link answers to the same commands, errors included."""
    if len(links) == 1:
        return [(links[0], _ask(links[0], commands))]
    answers: dict[Link, list[Any]] = {}
    changed = threading.Condition()

    def ask(link: Link) -> None:
        items = _ask(link, commands)
        with changed:
            answers[link] = items
            changed.notify()

    for link in links:
        name = f"redpony asks {link.label}"
        threading.Thread(target=ask, args=(link,), name=name, daemon=True).start()
    until = time.monotonic() + PATIENCE
    heard = False
    with changed:
        while len(answers) < len(links):
            if not heard and any(map(_is_answer, answers.values())):
                heard = True
                until = min(until, time.monotonic() + GRACE)
            left = until - time.monotonic()
            if left <= 0:
                break
            changed.wait(left)
        said = dict(answers)
    return [
        (link, said.get(link) or [_silence(link)] * len(commands)) for link in links
    ]


def _ask(link: Link, commands: Sequence[Command]) -> list[Any]:
    try:
        batch = Batch(commands, same_connection=True)
        return list(link.blocking.ask_all(batch, PATIENCE))
    except RedponyError as error:
        return [error] * len(commands)


def _is_answer(items: list[Any]) -> bool:
    return not all(isinstance(item, RedponyError) for item in items)


def _silence(link: Link) -> DeadlineExceeded:
    return DeadlineExceeded(f"{link.label} did not answer in time", outcome="unknown")


def fields(reply: Any) -> dict[str, str]:
    """Return a map of texts, as RESP3 gives it, or RESP2 as a list of pairs."""
    if isinstance(reply, list):
        reply = dict(zip(reply[::2], reply[1::2], strict=False))
    if not isinstance(reply, dict):
        return {}
    return {text(name): text(value) for name, value in reply.items()}


def text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
