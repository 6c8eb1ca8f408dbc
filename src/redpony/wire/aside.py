"""Threads for what may hang: one that looks after many servers must not wait for one."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("redpony")

_at_it: set[Any] = set()


def in_thread(link: Any, work: Callable[[], None]) -> None:
    """Do something with a link in a thread of its own."""

    def run() -> None:
        try:
            work()
        except Exception:  # nobody else would tell
            logger.exception("What was asked of %s met what it did not expect", link)

    name = f"redpony asks {link.label}"
    threading.Thread(target=run, name=name, daemon=True).start()


def aside(link: Any, work: Callable[[], None]) -> None:
    """Do the same, unless it is being done with this link already."""
    if link in _at_it:
        return
    _at_it.add(link)

    def once() -> None:
        try:
            work()
        finally:
            _at_it.discard(link)

    in_thread(link, once)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_it.clear)
