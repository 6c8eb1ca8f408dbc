"""F20: Sentinel replaces the primary."""

from __future__ import annotations

import time

import pytest

from redpony.errors import Unavailable
from tests.faults.failovers import OwnTime, outages
from tests.hostile import FakeServer

TOPOLOGIES = ("sentinel",)
FLAVOURS = ("valkey", "redis")

ROOM = 0.5
"""Seconds beyond the servers' own time that a crowd on a slow machine may need."""


def replace_primary(place, load, fault):
    """Have the primary replaced under a crowd; return the servers' time and ours."""
    old = place.handle.primary
    with load, OwnTime(place.handle, old) as own:
        load.go_on(3)
        own.begin(lambda: fault(old))
        needed = own.seconds
        place.handle.await_primary_other_than(old)
        load.go_on(3)
    return own, needed, max(outages(load, own.began))


def test_a_crowd_writes_again_as_soon_as_the_sentinels_name_a_new_primary(
    place, workload, record, pulse
):
    load = workload(place.cache(), pace=0.005)
    own, needed, outage = replace_primary(place, load, lambda old: old.kill())
    figures = load.verdict()
    excused = pulse.excused(own.ended, own.began + outage)
    record(outage=outage, servers=needed, failovers=1)
    assert figures["answered"] > 0
    assert outage <= needed + ROOM + excused


def test_nobody_is_without_a_primary_when_an_operator_replaces_it(
    place, workload, record, pulse
):
    def ask_for_it(old):
        place.handle.sentinels[0].ask("SENTINEL", "FAILOVER", place.handle.service)

    load = workload(place.cache(), pace=0.005)
    own, _, outage = replace_primary(place, load, ask_for_it)
    load.verdict()
    excused = pulse.excused(own.began, own.began + outage)
    record(outage=outage, failovers=1)
    # The old primary answers until the new one does.
    assert outage <= ROOM + excused


def test_one_failover_after_the_other_is_followed(place, workload, record):
    with workload(place.cache(), threads=2, tasks=4, pace=0.005) as load:
        for _ in range(3):
            load.go_on(3)
            place.handle.failover()
            load.go_on(3)
    load.verdict()
    record(failovers=3)


def test_what_is_asked_meanwhile_fails_at_once_and_was_not_sent(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    old = place.handle.primary
    old.kill()
    while isinstance(met := cache.tries("incr", "n", 1, None, True), Unavailable):
        assert met.outcome == "not_sent"
    assert met == 1
    assert place.handle.await_primary_other_than(old) is not old
    assert cache.get("n") == 1


def test_who_comes_while_there_is_no_primary_hears_so_and_is_served_after(
    place, caller
):
    place.handle.primary.kill()
    cache = caller(place.cache())
    assert cache.meets("get", "key").outcome == "not_sent"
    while isinstance(cache.tries("set", "key", "value"), Unavailable):
        time.sleep(0.005)
    assert cache.get("key") == "value"


def test_a_site_that_goes_on_without_is_answered_all_the_time(place, caller):
    cache = caller(place.cache(ON_ERROR="degrade"))
    assert cache.set("key", "value")
    place.handle.settled()
    place.handle.primary.kill()
    while not cache.set("other", "value"):
        assert cache.get("key", "default") in ("value", "default")
        assert cache.get_or_set("made", lambda: "here") == "here"
    assert cache.get("key") == "value"


def test_reads_from_replicas_are_answered_all_the_time(place, caller):
    cache = caller(place.cache(READ_FROM="replica", READ_YOUR_WRITES=0))
    assert cache.set("key", "value")
    place.handle.settled()
    # All connections are there, and the replicas are known.
    for _ in range(20):
        assert cache.get("key") == "value"
    place.handle.primary.kill()
    while isinstance(cache.tries("set", "other", "value"), Unavailable):
        assert cache.get("key") == "value"
        assert cache.get_many(["key", "nobody"]) == {"key": "value"}
    assert cache.get("key") == "value"


def test_two_sentinels_decide_and_one_can_tell(place, caller):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    first, second, _ = place.handle.sentinels
    old = place.handle.primary
    first.kill()
    old.kill()
    place.handle.await_primary_other_than(old)
    second.kill()
    while isinstance(cache.tries("set", "key", "later"), Unavailable):
        time.sleep(0.005)
    assert cache.get("key") == "later"
    late = caller(place.cache())
    assert late.get("key") == "later"


# -- a replica that is being promoted -------------------------------------------


def words(*texts):
    """Return an array of texts, as a server sends it."""
    return b"*%d\r\n" % len(texts) + b"".join(
        b"$%d\r\n%s\r\n" % (len(text), text) for text in map(str.encode, texts)
    )


def telling(primary, replica, flags, replicas_flags):
    """Return a script of a sentinel amid a failover."""
    epoch = ("config-epoch", "1", "flags", flags)
    place = ("ip", replica.host, "port", str(replica.port), "flags", replicas_flags)
    answers = {
        b"MASTER": words("ip", primary.host, "port", str(primary.port), *epoch),
        b"GET-MASTER-ADDR-BY-NAME": words(primary.host, str(primary.port)),
        b"REPLICAS": b"*1\r\n" + words(*place),
        b"SENTINELS": b"*0\r\n",
    }

    def script(peer):
        command = peer.greet()
        while True:
            peer.send(answers.get(command[1].upper(), b"-ERR unknown command\r\n"))
            command = peer.read()

    return script


@pytest.mark.parametrize(
    ("flags", "replicas_flags", "leads", "is_used"),
    [
        ("master,o_down,failover_in_progress", "slave,promoted", True, True),
        ("master,o_down,failover_in_progress", "slave,promoted", False, False),
        ("master,o_down,failover_in_progress", "slave", True, False),
        ("master", "slave,promoted", True, False),
    ],
    ids=["it leads", "it does not lead yet", "another is chosen", "all is over"],
)
def test_a_chosen_replica_is_used_as_soon_as_it_leads(
    caller, cache_on, cold_server, flags, replicas_flags, leads, is_used
):
    # The sentinel itself learns of that up to a second later.
    old, heir = cold_server(), cold_server()
    if not leads:
        heir.follow(old)
        heir.await_sync()
    with FakeServer(telling(old, heir, flags, replicas_flags)) as sentinel:
        cache = caller(
            cache_on(
                None,
                LOCATION=f"redis+sentinel://127.0.0.1:{sentinel.port}/main",
                CONNECT_TIMEOUT=10,
                DEADLINE=10,
            )
        )
        with old.counting() as at_old, heir.counting() as at_heir:
            assert cache.set("key", "value") is True
        # What a replica is given by its primary is counted there as well.
        assert "set" in (at_heir if is_used else at_old).commands
        assert ("set" in at_old.commands) is not is_used
        cache.link.close()
