"""What a thread or task has of one claim: a lock once, a semaphore's places several times.

The latest holding lies on top and is given back first; the one below it is its `under`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from redpony.locks.held import Held

MANY: Final = 64
"""So many lie on each other before those are let go of whose time is over."""

_lock = threading.Lock()


def lay(tops: MutableMapping[Any, Held], owner: Any, held: Held) -> None:
    """Lay a holding on those that its owner has."""
    with _lock:
        under = tops.get(owner)
        if under is not None and under.depth >= MANY:
            under = _standing(under)
        held.under = under
        held.depth = 1 if under is None else under.depth + 1
        tops[owner] = held


def take_out(tops: MutableMapping[Any, Held], held: Held) -> bool:
    """Take a holding out, wherever it lies; False where it does not: it was taken out."""
    with _lock:
        for owner, top in list(tops.items()):
            if top is held:
                if held.under is None:
                    del tops[owner]
                else:
                    tops[owner] = held.under
                return True
            each: Held | None = top
            while each is not None and each.under is not held:
                each = each.under
            if each is not None:
                each.under = held.under
                return True
        return False


def _standing(top: Held) -> Held | None:
    """Return the top of those whose time is not over."""
    kept: Held | None = None
    found: list[Held] = []
    each: Held | None = top
    while each is not None:
        found.append(each)
        each = each.under
    for each in reversed(found):
        if each.valid:
            each.under, each.depth = kept, 1 if kept is None else kept.depth + 1
            kept = each
    return kept


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
