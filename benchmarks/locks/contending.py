"""A process that contends for a lock from some threads, and says when it had it.

`python -m benchmarks.locks.contending PORT CONTESTANT NAME THREADS HOLD`. It says
`ready`, is told `go START END` (moments of the clock that all processes share), and
hands in what each thread did: pairs of when it entered and when it left, just before it
gave the lock back. Whoever has given it back wants it again at once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.locks.children import listen, ready, report
from benchmarks.locks.contestants import BY_NAME, Handle

GRACE = 5.0


@dataclass
class Contender:
    """One thread's diary."""

    lock: Handle
    entries: list[tuple[float, float]] = field(default_factory=list)
    error: str = ""

    def contend(self, start: float, end: float, hold: float) -> None:
        acquire, release, note = self.lock.acquire, self.lock.release, self.entries
        monotonic, sleep = time.monotonic, time.sleep
        sleep(max(0.0, start - monotonic()))
        try:
            while monotonic() < end:
                if not acquire():
                    raise AssertionError("gave up, though its patience has no end")
                entered = monotonic()
                sleep(hold)
                left = monotonic()
                release()
                note.append((entered, left))
        except Exception as error:  # reported in place of figures
            self.error = f"{type(error).__name__}: {error}"


def main(port: int, contestant: str, name: str, threads: int, hold: float) -> None:
    """Warm up, and contend when told to."""
    locks = BY_NAME[contestant](port)
    contenders = [Contender(locks.lock(name)) for _ in range(threads)]
    warm = locks.lock(f"{name}:{threading.get_native_id()}")
    warm.acquire()
    warm.release()
    ready()
    _, start, end = listen()
    running = [
        threading.Thread(
            target=each.contend, args=(float(start), float(end), hold), daemon=True
        )
        for each in contenders
    ]
    cpu = time.process_time()
    for thread in running:
        thread.start()
    over = float(end) + GRACE
    for thread in running:
        thread.join(max(0.0, over - time.monotonic()))
    errors = Counter(each.error for each in contenders if each.error)
    stuck = sum(thread.is_alive() for thread in running)
    if stuck:
        errors[f"still waiting {GRACE:g} s after the end"] = stuck
    found: dict[str, Any] = {
        "entries": [list(each.entries) for each in contenders],
        "cpu": time.process_time() - cpu,
        "errors": errors,
    }
    report(found)


if __name__ == "__main__":
    main(
        int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
    )
