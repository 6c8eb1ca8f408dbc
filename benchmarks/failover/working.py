"""A crowd of threads and tasks that work and keep books, while slots move.

`python -m benchmarks.failover.working LOCATION THREADS TASKS PACE DEADLINE`. Told
`over`, it stops and compares its books with the servers.
"""

from __future__ import annotations

import sys
import time

from benchmarks.failover.applications import cache
from benchmarks.failover.children import Told, ready, report
from tests.faults.workload import Load


def main(location: str, threads: str, tasks: str, pace: str, deadline: str) -> None:
    """Work until it is over."""
    told = Told()
    load = Load(
        cache(location, DEADLINE=float(deadline)),
        threads=int(threads),
        tasks=int(tasks),
        pace=float(pace),
    )
    complaint = ""
    with load:
        load.go_on()
        ready()
        began = time.monotonic()
        told.wait("over")
        seconds = time.monotonic() - began
    try:
        load.verdict(may_lose=True, stale_reads=True)
    except AssertionError as found:
        complaint = str(found)
    figures = {"wrong": 0, "duplicates": 0, "lost": 0, "stale": 0, "operations": 0}
    for worker in load.workers:
        for name in figures:
            figures[name] += worker.ledger.figures[name]
    held, _ = load.held()
    report(
        {
            **figures,
            "errors": dict(load.failures),
            "seconds": seconds,
            "held": held,
            "complaint": complaint,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
