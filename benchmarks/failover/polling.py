"""One application that writes every 10 ms, and when it could not.

`python -m benchmarks.failover.polling NAME LOCATION KEY`. Once it is told
`since T`, it ends with its tenth answer to what it began after that.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter

from benchmarks.failover.applications import APPLICATIONS
from benchmarks.failover.children import Told, ready, report

PACE = 0.01
WARM = 20
ENOUGH = 10
PATIENCE = 60.0


def main(name: str, location: str, key: str) -> None:
    """Write until it is over."""
    told = Told()
    write = APPLICATIONS[name](location)
    for number in range(WARM):
        write(key, number)
        time.sleep(PACE)
    ready()
    answers: list[float] = []
    calls: list[tuple[float, float]] = []
    errors: Counter[str] = Counter()
    since: float | None = None
    number = WARM
    while len(answers) < ENOUGH and (
        since is None or time.monotonic() - since < PATIENCE
    ):
        start = time.monotonic()
        number += 1
        error: Exception | None = None
        try:
            write(key, number)
        except Exception as raised:  # which one is part of the figure
            error = raised
        end = time.monotonic()
        since = told.since("since")
        if since is not None and start >= since:
            calls.append((start, end))
            if error is None:
                answers.append(end)
        if since is not None and end >= since and error is not None:
            errors[type(error).__name__] += 1
        time.sleep(max(0.0, start + PACE - time.monotonic()))
    assert since is not None
    report(
        {
            "outage": served_again(since, answers),
            "errors": dict(errors),
            "slowest": max(end - start for start, end in calls),
        }
    )


def served_again(since: float, answers: list[float]) -> float:
    """Return how long after a moment the longest silence ended."""
    if not answers:
        return PATIENCE
    silences = itertools.pairwise([since, *answers])
    return max(silences, key=lambda pair: pair[1] - pair[0])[1] - since


if __name__ == "__main__":
    main(*sys.argv[1:])
