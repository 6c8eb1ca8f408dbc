"""Who holds a lock inside a process: a task in asyncio, a thread elsewhere."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class Me:
    """A thread."""

    __slots__ = ("__weakref__",)


class _Thread(threading.local):
    """One object a thread; an ident is used again after a thread's end."""

    def __init__(self) -> None:
        self.me = Me()


_thread = _Thread()


def whose() -> Any:
    """Return what is equal for the same thread or task, and for no other."""
    if asyncio._get_running_loop() is None:  # noqa: SLF001 (the public one raises)
        return _thread.me
    return asyncio.current_task() or _thread.me
