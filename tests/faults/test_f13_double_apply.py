"""F13: the server stalls for longer than a caller waits, or closes in between.

Every public method is asked of a server that takes the command and does not
answer. However often a client sent it, the server counts how often it ran.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
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
} - {"multi"}
"""What changes something, by the server's names. MULTI only begins."""

METHODS = [
    (name, args[0]) for calls in (CALLS, COUNTED) for name, args in calls.items()
]
"""Every method that answers under `ON_ERROR`, with arguments; those with a count
stand there twice."""

NEEDS_A_KEY = {"incr", "decr", "incr_version", "decr_version", "touch", "delete"}
"""Methods that change nothing where there is nothing."""


class Count:
    """How often each write ran on the primaries of a place."""

    def __init__(self, place):
        self.clients = [server.client() for server in place.primaries]

    def now(self):
        found = Counter()
        for client in self.clients:
            # Each answer is a turn of the server's loop: it has read what was sent.
            for _ in range(20):
                client.ping()
            for name, stats in client.info("commandstats").items():
                if name.removeprefix("cmdstat_") in WRITES:
                    found[name.removeprefix("cmdstat_")] += stats["calls"]
        return found

    def during(self, act):
        before = self.now()
        act()
        return self.now() - before

    def prepare(self, cache, method):
        for client in self.clients:
            client.flushall()
        if method in NEEDS_A_KEY:
            answered(cache, "set", "k", 1)
        # A connection is open, and the breaker is closed.
        answered(cache, "get", "k")


def answered(cache, method, *args):
    """Ask until there is an answer."""
    while isinstance(cache.tries(method, *args), Unavailable):
        time.sleep(0.002)


@pytest.fixture
def cache(place, caller):
    return caller(place.cache(DEADLINE=0.05, BREAKER={"FAILURES": 10**6}))


@pytest.fixture
def count(place):
    return Count(place)


_DUE = {}


@pytest.fixture
def due(place, caller, count):
    """Return which writes each method runs when nothing is wrong."""
    kind = (place.topology, place.flavour)
    if kind not in _DUE:
        cache = caller(place.cache(DEADLINE=5))
        found = []
        for method, args in METHODS:
            count.prepare(cache, method)
            found.append(count.during(partial(cache.tries, method, *args)))
        # So many change something; who adds one to the table will see it here.
        assert sum(bool(each) for each in found) >= 38
        _DUE[kind] = found
    return _DUE[kind]


def judge(record, found, allowed):
    duplicates = 0
    complaints = []
    for (method, _), ran, most in zip(METHODS, found, allowed, strict=True):
        for name, times in ran.items():
            if times > most[name]:
                duplicates += times - most[name]
                complaints.append(f"{method}: {name} ran {times} times")
    record(duplicates=duplicates, wrong=0, methods=len(METHODS))
    assert complaints == []


def test_a_stall_longer_than_the_deadline(place, cache, count, due, record):
    def stall(method, args):
        place.pause()
        met = cache.tries(method, *args)
        place.resume()
        assert isinstance(met, RedponyError), (method, met)

    found = each_that_changes_something(cache, count, due, stall)
    judge(record, found, due)
    assert any(found)


def test_a_connection_that_is_closed_before_the_answer(
    place, caller, count, due, record
):
    cache = caller(place.cache(DEADLINE=0.5, BREAKER={"FAILURES": 10**6}))
    primaries = place.primaries

    def kill(method, args):
        for client in count.clients:
            client.execute_command("CLIENT PAUSE", 60_000, "WRITE")
        killer = threading.Thread(target=kill_who_waits, args=(primaries,))
        killer.start()
        met = cache.tries(method, *args)
        killer.join()
        for client in count.clients:
            client.execute_command("CLIENT UNPAUSE")
        assert isinstance(met, RedponyError), (method, met)

    found = each_that_changes_something(cache, count, due, kill)
    # What was held back when its sender went never ran, and nobody sent it again.
    judge(record, found, [Counter()] * len(METHODS))


def each_that_changes_something(cache, count, due, act):
    found = []
    for (method, args), writes in zip(METHODS, due, strict=True):
        if writes:
            count.prepare(cache, method)
            found.append(count.during(partial(act, method, args)))
        else:
            found.append(Counter())
    return found


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
