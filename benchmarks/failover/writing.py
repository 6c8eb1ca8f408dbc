"""Threads that write keys of their own, and keep a list of what was acknowledged.

`python -m benchmarks.failover.writing LOCATION TAG THREADS`. So many threads write
by `SET` alone, and as many by `SET` and `WAIT 1` in one flight: theirs counts as
acknowledged if a replica has it, too. Told `count T`, they stop, and every key that
was acknowledged is looked for. T is when the fault began.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.failover.applications import cache
from benchmarks.failover.children import Told, ready, report
from redpony.commands import MGET, SET, WAIT
from redpony.errors import RedponyError
from redpony.plan import Batch, Plan

PACE = 0.001
WAITS_MS = b"100"
AT_ONCE = 500


def plain(key: str) -> Plan[bool]:
    """Write a key; return whether that was acknowledged."""
    yield SET(key, b"written")
    return True


def waiting(key: str) -> Plan[bool]:
    """Write a key; return whether a replica has acknowledged it as well."""
    replies = yield Batch(
        [SET(key, b"written"), WAIT(b"1", WAITS_MS)], same_connection=True
    )
    _, replicas = replies.check()
    return bool(replicas >= 1)


MODES: dict[str, Callable[[str], Plan[bool]]] = {"plain": plain, "wait": waiting}


class Writer:
    """One thread, and what became of each of its writes."""

    def __init__(self, link: Any, mode: str, prefix: str) -> None:
        self.mode = mode
        self._link = link
        self._prefix = prefix
        self.acknowledged: list[tuple[str, float]] = []
        self.doubtful = 0
        """Writes that were answered, but not by a replica in time."""
        self.failed = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            key = f"{self._prefix}:{number}"
            try:
                done = self._link.run(MODES[self.mode](key))
            except RedponyError:
                self.failed += 1
            else:
                if done:
                    self.acknowledged.append((key, time.monotonic()))
                else:
                    self.doubtful += 1
            self.over.wait(PACE)


def main(location: str, tag: str, threads: str) -> None:
    """Write until it is time to count."""
    told = Told()
    link = cache(location).alias.link
    writers = [
        Writer(link, mode, f"{tag}{mode}:{number}")
        for mode in MODES
        for number in range(int(threads))
    ]
    for writer in writers:
        writer.thread.start()
    while not all(len(writer.acknowledged) > 100 for writer in writers):
        time.sleep(0.01)
    ready()
    since = told.wait("count")
    until = time.monotonic()
    for writer in writers:
        writer.over.set()
    for writer in writers:
        writer.thread.join()
    report({mode: count(link, mode, writers, since, until) for mode in MODES})


def count(
    link: Any, mode: str, writers: list[Writer], since: float, until: float
) -> dict[str, Any]:
    """Return what one kind of writer was promised, and what of it is not there."""
    mine = [writer for writer in writers if writer.mode == mode]
    acknowledged = [each for writer in mine for each in writer.acknowledged]
    lost: list[float] = []
    for at in range(0, len(acknowledged), AT_ONCE):
        some = acknowledged[at : at + AT_ONCE]
        values = link.run(_get(tuple(key for key, _ in some)))
        lost += [
            when - since
            for (_, when), value in zip(some, values, strict=True)
            if value is None
        ]
    # From the first to the end of the run, with or without an answer.
    ends = [*sorted(when for _, when in acknowledged), until]
    silence = max((b - a for a, b in itertools.pairwise(ends)), default=0.0)
    return {
        "acknowledged": len(acknowledged),
        "second_before": sum(-1 <= when - since < 0 for _, when in acknowledged),
        "doubtful": sum(writer.doubtful for writer in mine),
        "failed": sum(writer.failed for writer in mine),
        "silence": silence,
        "lost": len(lost),
        "lost_between": [min(lost), max(lost)] if lost else None,
    }


def _get(keys: tuple[str, ...]) -> Plan[list[bytes | None]]:
    values = yield MGET(*keys)
    return values


if __name__ == "__main__":
    main(*sys.argv[1:])
