"""F3: the server is restarted again and again under load."""

from __future__ import annotations

import time

import pytest

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")

SOON = 0.1
"""Seconds of silence after a restart that are the client's: the breaker's, refused."""

ROOM = 1.0


def restarts(place, load, times):
    """Restart a place under a crowd; return how long each time nobody was answered.

    As pairs: what the crowd saw, and how long there was no server to ask.
    """
    seen = []
    with load:
        for _ in range(times):
            load.go_on()
            start = time.monotonic()
            place.restart()
            back = time.monotonic()
            load.go_on()
            seen.append((start, back))
    figures = load.verdict(may_lose=True, forgets=True)
    return figures, [(load.longest_gap(a), b - a) for a, b in seen]


def judge(place, load, pulse, record, times):
    figures, outages = restarts(place, load, times)
    record(outage=max(seen for seen, _ in outages), restarts=times)
    assert figures["answered"] > 0
    for seen, without in outages:
        assert seen <= without + SOON + ROOM


def test_a_crowd_goes_on_after_each_of_four_restarts(place, workload, record, pulse):
    load = workload(place.cache(), threads=10, tasks=20, pace=0.005)
    judge(place, load, pulse, record, 4)


@pytest.mark.soak
def test_fifty_threads_and_fifty_tasks_go_on_after_twenty_restarts(
    place, workload, record, pulse
):
    load = workload(place.cache(POOL_SIZE=50), threads=50, tasks=50, pace=0.02)
    judge(place, load, pulse, record, 20)
