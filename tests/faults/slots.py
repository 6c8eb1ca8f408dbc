"""What a link holds right now, over all of its servers."""

from __future__ import annotations

import time
from typing import Any

PATIENCE = 10.0


def nodes_of(link: Any) -> list[Any]:
    """Return the links to single servers that a link consists of."""
    return list(link.nodes()) if hasattr(link, "nodes") else [link]


def slots_in_use(link: Any) -> int:
    """Return how many places of the pools are taken by somebody.

    Blocking: connections that are neither idle nor gone. Asyncio: commands that
    still wait for their replies, and connections lent for a blocking command.
    """
    found = 0
    for node in nodes_of(link):
        found += node.blocking.pool.in_use
        for state in list(node.awaiting.loops.by_loop.values()):
            found += len(state._lent)
            found += sum(each.in_flight for each in list(state._all))
    return found


def connections(link: Any) -> int:
    """Return how many connections exist, in both colours."""
    return sum(
        node.blocking.pool.opened + node.awaiting.loops.places.taken
        for node in nodes_of(link)
    )


def left_in_use(link: Any, turn: Any = None) -> int:
    """Return what is still in use once everything had the time to end.

    `turn` lets the test's event loop go on for a moment; without it we wait.
    """
    end = time.monotonic() + PATIENCE
    while (found := slots_in_use(link)) and time.monotonic() < end:
        if turn is None:
            time.sleep(0.005)
        else:
            turn()
    return found
