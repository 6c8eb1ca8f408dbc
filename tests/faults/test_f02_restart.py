"""F2: the server is restarted."""

from __future__ import annotations

import threading
import time

import pytest

from redpony.errors import Unavailable

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

SOON = 1.0
"""Seconds after the server's PONG until somebody is answered by it."""

ROOM = 1.0
KEPT = ("appendonly yes", "appendfsync always")


def test_nobody_hears_of_a_restart_between_two_commands(place, caller):
    cache = caller(place.cache())
    for turn in range(3):
        assert cache.set("key", turn)
        assert cache.get("key") == turn
        assert cache.incr("n", ignore_key_check=True) == 1
        place.restart()
        assert cache.get("key") is None


def test_a_pool_of_stale_connections_costs_nobody_an_error(place):
    cache = place.cache()
    # Ten threads that ask at once have ten connections.
    everybody = threading.Barrier(11)
    met = []

    def work():
        everybody.wait()
        for _ in range(20):
            cache.set("key", "value")
        everybody.wait()
        everybody.wait()
        try:
            met.append(cache.set("key", "value") and cache.get("key"))
        except Unavailable as error:
            met.append(error)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    everybody.wait()
    everybody.wait()
    # In this thread: a server dies with the one that has started it.
    place.restart()
    everybody.wait()
    for thread in threads:
        thread.join()
    assert met == ["value"] * 10


def test_a_crowd_is_served_within_a_second_of_the_servers_pong(
    place, workload, record, pulse
):
    recovered = restarted_under(workload(place.cache(), pace=0.005), place, pulse)
    record(recovered=recovered)
    assert recovered <= SOON + ROOM


@pytest.mark.topologies("single", "replicated")
@pytest.mark.settings(*KEPT)
def test_a_crowd_finds_what_was_acknowledged_where_the_server_keeps_it(
    place, workload, record, pulse
):
    load = workload(place.cache(), pace=0.005)
    recovered = restarted_under(load, place, pulse, may_lose=False)
    record(recovered=recovered)
    assert recovered <= SOON + ROOM


def restarted_under(load, place, pulse, *, may_lose=True):
    """Return how long after the server's PONG somebody was answered."""
    with load:
        load.go_on(3)
        place.kill()
        load.fails(50)
        place.start()
        back = time.monotonic()
        load.go_on(3)
        end = time.monotonic()
    load.verdict(may_lose=may_lose, forgets=may_lose)
    return load.first_answer(back) - pulse.excused(back, end)
