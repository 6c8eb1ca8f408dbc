"""A process that takes locks and keeps them until it is told to give them back.

`python -m benchmarks.locks.holding PORT`. It is told `take NAME CONTESTANT`, and says
true; `give NAME`, and says the moment at which it began to.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.locks.children import Child, listen, ready
from benchmarks.locks.contestants import BY_NAME, Handle

LEASE = 120.0
"""Longer than any row lasts: nobody renews it, and so nobody asks the server."""

PATIENCE = 20.0


class Holder(Child):
    """That process, seen from its parent."""

    def __init__(self, port: int) -> None:
        super().__init__("holding", port)

    def take(self, name: str, contestant: str) -> None:
        self.tell("take", name, contestant)
        self.hear(PATIENCE)

    def give(self, name: str) -> float:
        """Return when it began to give the lock back."""
        self.tell("give", name)
        return float(self.hear(PATIENCE))


def main(port: int) -> None:
    """Do what one is told, until the parent is gone."""
    taken: dict[str, Handle] = {}
    ready()
    while True:
        what, name, *contestant = listen()
        if what == "take":
            handle = BY_NAME[" ".join(contestant)](port).lock(name, lease=LEASE)
            answer: Any = bool(handle.acquire())
            taken[name] = handle
        else:
            answer = time.monotonic()
            taken.pop(name).release()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
