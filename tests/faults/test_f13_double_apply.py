"""F13: the server stalls for longer than a caller waits, or closes in between.

Every public method is asked of a server that takes the command and does not
answer. However often a client sent it, the server counts how often it ran.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from redpony import commands
from redpony.errors import RedponyError, Unavailable
from tests.cache.test_unavailable import CALLS, COUNTED
from tests.servers import until

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

WRITES = {
    kind.name.lower()
    for kind in vars(commands).values()
    if isinstance(kind, commands.Kind) and kind.access is commands.Access.WRITE
}

METHODS = [
    (name, args[0]) for calls in (CALLS, COUNTED) for name, args in calls.items()
]
"""Every method that answers under `ON_ERROR`, with arguments; those with a count
stand there twice."""

NEEDS_A_KEY = {"incr", "decr", "incr_version", "decr_version", "touch", "delete"}
"""Methods that change nothing where there is nothing."""


def prepare(place, cache, method):
    for server in place.primaries:
        server.flush()
    if method in NEEDS_A_KEY:
        answered(cache, "set", "k", 1)
    # A connection is open, and the breaker is closed.
    answered(cache, "get", "warm")


def answered(cache, method, *args):
    """Ask until there is an answer."""
    while isinstance(cache.tries(method, *args), Unavailable):
        time.sleep(0.002)


def counted(place, act):
    """Return which writes ran while something was done, and how often."""
    counts = [server.counting() for server in place.primaries]
    taken = [count.__enter__() for count in counts]
    act()
    place.quiet()
    for count in counts:
        count.__exit__(None, None, None)
    found = {}
    for each in taken:
        for name in WRITES & each.commands.keys():
            found[name] = found.get(name, 0) + each.commands[name]
    return found


@pytest.fixture
def cache(place, caller):
    return caller(place.cache(DEADLINE=0.05, BREAKER={"FAILURES": 10**6}))


@pytest.fixture
def healthy(place, cache):
    """Return which writes each method runs when nothing is wrong."""
    found = []
    for method, args in METHODS:
        prepare(place, cache, method)
        found.append(counted(place, partial(cache.tries, method, *args)))
    # So many change something; who adds one to the table will see it here.
    assert sum(bool(each) for each in found) >= 38
    return found


def judge(record, found, healthy):
    duplicates = 0
    complaints = []
    for (method, _), ran, due in zip(METHODS, found, healthy, strict=True):
        for name, times in ran.items():
            if times > due.get(name, 0):
                duplicates += times - due.get(name, 0)
                complaints.append(f"{method}: {name} ran {times} times")
    record(duplicates=duplicates, wrong=0, methods=len(METHODS))
    assert complaints == []


def test_a_stall_longer_than_the_deadline(place, cache, healthy, record):
    found = []
    for (method, args), due in zip(METHODS, healthy, strict=True):
        if not due:
            found.append({})
            continue
        prepare(place, cache, method)

        def stall(method=method, args=args):
            place.pause()
            met = cache.tries(method, *args)
            place.resume()
            assert isinstance(met, RedponyError), (method, met)

        found.append(counted(place, stall))
    judge(record, found, healthy)
    assert any(found)


def test_a_connection_that_is_closed_before_the_answer(place, caller, healthy, record):
    cache = caller(place.cache(DEADLINE=0.5, BREAKER={"FAILURES": 10**6}))
    found = []
    for (method, args), due in zip(METHODS, healthy, strict=True):
        if not due:
            found.append({})
            continue
        prepare(place, cache, method)

        def kill(method=method, args=args):
            for server in place.primaries:
                server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
            killer = threading.Thread(target=kill_who_waits, args=(place.primaries,))
            killer.start()
            met = cache.tries(method, *args)
            killer.join()
            for server in place.primaries:
                server.ask("CLIENT", "UNPAUSE")
            assert isinstance(met, RedponyError), (method, met)

        found.append(counted(place, kill))
    judge(record, found, [{}] * len(METHODS))


def kill_who_waits(servers):
    """Wait until a server holds a client's command back, and kill all clients."""

    def waits():
        return any("b" in user["flags"] for each in servers for user in each.users())

    until(waits, "somebody waits")
    for server in servers:
        server.ask("CLIENT", "KILL", "USER", "default")


def test_a_crowd_that_changes_things_under_stalls(place, workload):
    mix = {"incr": 4, "push": 4, "set": 1, "delete": 1, "get": 1}
    options = {"DEADLINE": 0.05, "BREAKER": {"FAILURES": 10**6}}
    with workload(place.cache(**options), mix=mix) as load:
        for _ in range(20):
            load.answers(20)
            place.pause()
            load.fails(6)
            place.resume()
        load.go_on()
    figures = load.verdict()
    assert figures["unknown"] >= 20
