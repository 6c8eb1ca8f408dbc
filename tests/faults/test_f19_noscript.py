"""F19: the server has forgotten our scripts."""

from __future__ import annotations

import pytest

from redpony.commands import GET, INCRBY, Script, call
from redpony.plan import Batch

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}

ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")


def forget(place):
    for server in place.servers:
        server.ask("SCRIPT", "FLUSH")


def test_nobody_notices(place, caller):
    cache = caller(place.cache())
    assert cache.set("n", 0)
    for count in range(1, 11):
        forget(place)
        assert cache.incr("n") == count
    forget(place)
    assert cache.incr_version("n") == 2
    assert cache.get("n", version=2) == 10


@pytest.mark.parametrize("atomic", [False, True], ids=["batch", "transaction"])
def test_nobody_notices_among_other_commands(place, caller, atomic):
    cache = caller(place.cache())

    def plan():
        # One hash tag: a transaction has one server.
        key = b"{tag}n"
        replies = yield Batch(
            [INCRBY(key, b"1"), call(ADD, (key,), (b"10",)), GET(key)], atomic=atomic
        )
        return replies.check()

    for turn in range(1, 6):
        forget(place)
        if cache.colour.is_async:
            found = cache.colour.run(cache.link.arun(plan()))
        else:
            found = cache.link.run(plan())
        assert found[0] == 11 * turn - 10
        assert found[1] == 11 * turn
        # In a batch the script is sent again when all else is done.
        assert int(found[2]) == (11 * turn if atomic else 11 * turn - 10)


def test_a_server_that_never_knew_them_takes_over(place, caller):
    cache = caller(place.cache())
    assert cache.set("n", 0)
    assert cache.incr("n") == 1
    place.restart()
    assert cache.set("n", 0)
    assert cache.incr("n") == 1


def test_a_crowd_counts_on_while_scripts_are_forgotten(place, workload):
    mix = {"script": 6, "get": 1, "set": 1, "push": 1}
    with workload(place.cache(), mix=mix) as load:
        for _ in range(50):
            load.answers(20)
            forget(place)
    figures = load.verdict()
    assert figures["answered"] == figures["operations"]
