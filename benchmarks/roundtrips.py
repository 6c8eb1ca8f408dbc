"""How often an operation goes to the server: counted by the server, exact.

A server that is asked by one client reads once per flight of a small request,
and `INFO` tells how often it read. Large requests arrive in several pieces, so
only rows with small ones are counted.
"""

from __future__ import annotations

from benchmarks.contestants import Contestant
from benchmarks.rows import Row
from benchmarks.servers import Measured

REPETITIONS = 50


def count(row: Row, contestant: Contestant, server: Measured) -> float | None:
    """Return round trips per operation; None where the row is not counted."""
    if not row.counts_round_trips:
        return None
    operation = contestant.sync(row)
    operation()
    before = server.stat("total_reads_processed")
    for _ in range(REPETITIONS):
        operation()
    # The question itself is read once.
    return (server.stat("total_reads_processed") - before - 1) / REPETITIONS
