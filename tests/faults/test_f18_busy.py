"""F18: the server is busy with somebody's script."""

from __future__ import annotations

import contextlib
import threading

import pytest
import redis

from redpony.errors import DeadlineExceeded, Unavailable
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

# Sentinels kill a script that keeps a primary from answering them.
WITHOUT_SENTINELS = pytest.mark.topologies("single", "replicated", "cluster")

ENDLESS = "while true do end"
"""It changes nothing, so the harness may kill it."""


@contextlib.contextmanager
def busy(place, *, threshold):
    """Have all primaries run a script until the block ends.

    They are silent for `threshold` milliseconds, and then say that they are busy.
    """
    servers = list(place.primaries)
    place.configure("busy-reply-threshold", threshold)
    threads = [threading.Thread(target=run, args=(each,)) for each in servers]
    for thread in threads:
        thread.start()
    try:
        for server in servers:
            until(lambda server=server: state(server) != "free", f"{server!r} is busy")
        yield servers
    finally:
        for server in servers:
            until(lambda server=server: is_freed(server), f"{server!r} is free")
        for thread in threads:
            thread.join()


def run(server):
    # Its answer comes when somebody kills the script.
    with server.connect(socket_timeout=60) as client:
        with contextlib.suppress(redis.exceptions.ResponseError):
            client.eval(ENDLESS, 0)


def state(server, *words):
    """Return whether a server is "free", "silent" or "busy"."""
    try:
        with server.connect(socket_timeout=0.05) as client:
            client.execute_command(*(words or ("PING",)))
    except redis.exceptions.TimeoutError:
        return "silent"
    except redis.exceptions.ResponseError as error:
        return "busy" if str(error).startswith("BUSY") else "free"
    return "free"


def is_freed(server):
    return state(server, "SCRIPT", "KILL") == "free" and state(server) == "free"


def is_busy(server):
    return state(server) == "busy"


@WITHOUT_SENTINELS
def test_first_it_is_silent_and_then_it_says_so(place, caller):
    cache = caller(place.cache(BREAKER={"FAILURES": 10**6}, **place.exact))
    assert cache.set("key", "value")
    with busy(place, threshold=1_000) as servers:
        met = [cache.meets("get", "key")]
        for server in servers:
            until(lambda server=server: is_busy(server), f"{server!r} is busy")
        met += [cache.meets("get", "key"), cache.meets("incr", "n")]
    assert isinstance(met[0], DeadlineExceeded)
    assert all(isinstance(each, Unavailable) for each in met)
    assert {each.outcome for each in met[1:]} == {"refused"}
    assert cache.get("key") == "value"


@WITHOUT_SENTINELS
def test_a_site_that_goes_on_without_is_answered(place, caller):
    cache = caller(place.cache(ON_ERROR="degrade", **place.exact))
    assert cache.set("key", "value")
    with busy(place, threshold=50) as servers:
        for server in servers:
            until(lambda server=server: is_busy(server), f"{server!r} is busy")
        for _ in range(10):
            assert cache.get("key", "default") == "default"
            assert cache.set("key", "later") is False


@WITHOUT_SENTINELS
def test_we_never_kill_a_script(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", "value")
    with busy(place, threshold=100) as servers:
        for server in servers:
            until(lambda server=server: is_busy(server), f"{server!r} is busy")
        for _ in range(20):
            cache.tries("get", "key")
            cache.tries("set", "key", "later")
        # Still at it; who ends it is the harness, once each.
        assert all(map(is_busy, servers))


def test_a_crowd_is_held_for_the_deadline_at_most(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        for threshold in (10, 5_000):
            load.go_on()
            with busy(place, threshold=threshold):
                load.fails(50)
            load.go_on(3)
    load.verdict()
