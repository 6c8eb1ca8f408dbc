"""F23: slots move from one node of a cluster to another."""

from __future__ import annotations

import itertools
import threading

import pytest

from redpony.errors import DeadlineExceeded, RedponyError, TryAgain
from redpony.wire.topology.slots import slot_of
from tests.hostile import HELLO, FakeServer

TOPOLOGIES = ("cluster",)
FLAVOURS = ("valkey", "redis")

KEYS = [f"{{here}}:{number}" for number in range(12)]
"""Keys of one slot, by their tag."""
MOVED, STAYED = KEYS[::2], KEYS[1::2]


def full(cache, keys):
    """Return the keys as the server knows them."""
    return [cache.make_key(key) for key in keys]


def under_way(place, cache):
    """Hold the keys' slot half way, with every second key on the other side."""
    (slot,) = {slot_of(key) for key in full(cache, KEYS)}
    source = place.handle.node_for(slot)
    target = next(node for node in place.handle.primaries if node is not source)
    return slot, target, place.handle.migrating(slot, target)


def test_what_is_half_on_either_side_is_found_and_written_whole(place, caller):
    cache = caller(place.cache())
    assert cache.set_many(dict.fromkeys(KEYS, "value"), None) == []
    *_, migration = under_way(place, cache)
    with migration as moving:
        moving.move(*full(cache, MOVED))
        for some in (KEYS, KEYS[:2], KEYS[:5], MOVED, STAYED):
            assert cache.get_many(some) == dict.fromkeys(some, "value")
            assert cache.set_many(dict.fromkeys(some, "later"), None) == []
            assert cache.get_many(some) == dict.fromkeys(some, "later")
            assert cache.set_many(dict.fromkeys(some, "value")) == []
        cache.delete_many(KEYS[:4])
        assert cache.get_many(KEYS).keys() == set(KEYS[4:])
    assert cache.get_many(KEYS).keys() == set(KEYS[4:])


def test_one_key_is_answered_on_whichever_side_it_is(place, caller):
    cache = caller(place.cache())
    cache.set_many(dict.fromkeys(KEYS, 1), None)
    *_, migration = under_way(place, cache)
    with migration as moving:
        moving.move(*full(cache, MOVED))
        for key in KEYS:
            assert cache.get(key) == 1
            assert cache.incr(key) == 2
            assert cache.touch(key, 100) is True
            assert cache.has_key(key) is True
            assert cache.get_or_set(key, lambda: "never") == 2
            assert cache.delete(key) is True
            assert cache.get(key) is None
            assert cache.add(key, "new") is True
            assert cache.rpush(f"{key}:list", "a", "b") == 2
            assert cache.lrange(f"{key}:list", 0, -1) == ["a", "b"]
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "new")


def test_a_script_that_the_other_side_has_never_seen_runs_there(place, caller):
    cache = caller(place.cache())
    cache.set_many(dict.fromkeys(KEYS, 1), None)
    _, target, migration = under_way(place, cache)
    with migration as moving:
        moving.move(*full(cache, MOVED))
        for key in MOVED:
            target.ask("SCRIPT", "FLUSH")
            assert cache.incr(key) == 2


def test_what_needs_keys_of_both_sides_at_once_waits_for_the_deadline(place, caller):
    cache = caller(place.cache())
    tag = cache.cache.make_key
    one, two = "{here}:one", "{here}:two"
    assert cache.sadd(one, 1, 2) == cache.sadd(two, 2, 3) == 2
    *_, migration = under_way(place, cache)
    with migration as moving:
        moving.move(tag(one))
        met = cache.meets("sinter", one, two)
        assert isinstance(met, (TryAgain, DeadlineExceeded))
        assert met.outcome in ("refused", "not_sent")
        moving.move(tag(two))
        assert cache.sinter(one, two) == {2}
        moving.finish()
    assert cache.sinter(one, two) == {2}


def test_what_needs_keys_of_both_sides_is_answered_when_they_have_arrived(
    place, caller
):
    cache = caller(place.cache(DEADLINE=10))
    tag = cache.cache.make_key
    one, two = "{here}:one", "{here}:two"
    assert cache.sadd(one, 1, 2) == cache.sadd(two, 2, 3) == 2
    *_, migration = under_way(place, cache)
    with migration as moving:
        moving.move(tag(one))
        arrives = threading.Timer(0.1, moving.move, [tag(two)])
        arrives.start()
        assert cache.sinter(one, two) == {2}
        arrives.join()


def redirections(place):
    """Return how often the servers have sent somebody elsewhere."""
    return sum(
        said["count"]
        for node in place.handle.nodes
        for name, said in node.info("errorstats").items()
        if name in ("errorstat_MOVED", "errorstat_ASK")
    )


def test_where_a_slot_has_gone_is_learnt_from_the_first_answers(place, caller):
    cache = caller(place.cache())
    cache.set_many(dict.fromkeys(KEYS, "value"), None)
    slot, target, _ = under_way(place, cache)
    place.handle.move_slot(slot, target)
    before = redirections(place)
    for key in KEYS:
        assert cache.get(key) == "value"
        assert cache.set(key, "later") is True
    assert redirections(place) - before <= 2
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS, "later")


def test_a_crowd_does_not_notice_slots_on_the_move(place, workload, record):
    first, second, third = place.handle.nodes[:3]
    # A slow machine may take longer than the deadline for what the servers do then.
    cache = place.cache(DEADLINE=2)
    moved = 0
    with workload(cache, threads=4, tasks=20, pace=0.005) as load:
        load.go_on(3)
        # The slots of keys of the crowd, each to and fro, and some more.
        for worker in load.workers[:8]:
            slot = slot_of(cache.make_key(worker.ledger.keys[0].name))
            source = place.handle.node_for(slot)
            target = next(n for n in (first, second, third) if n is not source)
            place.handle.move_slot(slot, target)
            load.go_on()
            place.handle.move_slot(slot, source)
            moved += 2
        moved += len(place.handle.reshard(50, first, second))
        load.go_on(3)
    figures = load.verdict()
    record(moved=moved)
    assert load.failures == {}
    assert figures["lost"] == figures["stale"] == 0


def test_all_keys_are_listed_and_cleared_while_slots_move(place, caller):
    cache = caller(place.cache())
    names = {f"key{number}" for number in range(200)}
    assert cache.set_many(dict.fromkeys(names, 1), None) == []
    first, second, third = place.handle.nodes[:3]
    over = threading.Event()

    def move():
        for source, target in itertools.cycle(
            [(first, second), (second, third), (third, first)]
        ):
            if over.is_set():
                return
            place.handle.reshard(20, source, target)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        for _ in range(5):
            assert set(cache.keys("key*")) == names
        assert cache.delete_pattern("key1*") == 111
        assert set(cache.keys("*")) == {n for n in names if not n.startswith("key1")}
    finally:
        over.set()
        mover.join()
    assert cache.clear() is True
    assert cache.keys("*") == []


# -- servers that never agree ---------------------------------------------------


def pointing(kind, other, asked):
    """Return a script of a node that leads all slots, and sends everybody elsewhere.

    `other()` is the port that it names.
    """

    def script(peer):
        mine = peer.sock.getsockname()[1]
        command = peer.greet(HELLO.replace(b"standalone", b"cluster"))
        while True:
            word = command[0].upper()
            if word == b"CLUSTER":
                peer.send(
                    b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n"
                    b":%d\r\n$2\r\nid\r\n" % mine
                    if command[1].upper() == b"SLOTS"
                    else b"$16\r\ncluster_state:ok\r\n"
                )
            elif word == b"ASKING":
                peer.send(b"+OK\r\n")
            else:
                asked.append(word)
                peer.send(b"-%s %d 127.0.0.1:%d\r\n" % (kind, 1, other()))
            command = peer.read()

    return script


@pytest.mark.parametrize("kind", [b"MOVED", b"ASK"])
@pytest.mark.parametrize(
    "call",
    [
        ("get", "key"),
        ("set", "key", "value"),
        ("incr", "key"),
        ("get_many", ["a", "b", "c", "d", "e"]),
        ("set_many", {"a": 1, "b": 2}),
    ],
    ids=lambda call: call[0],
)
def test_two_that_point_to_each_other_end_in_an_error_by_the_deadline(
    caller, cache_on, kind, call
):
    asked = []
    servers = []

    def other(number):
        return lambda: servers[1 - number].port

    with (
        FakeServer(pointing(kind, other(0), asked)) as one,
        FakeServer(pointing(kind, other(1), asked)) as two,
    ):
        servers += [one, two]
        cache = caller(
            cache_on(
                None, LOCATION=f"redis+cluster://127.0.0.1:{one.port}", DEADLINE=0.25
            )
        )
        met = cache.meets(*call)
        assert isinstance(met, RedponyError)
        # (The last one may have been under way when the time was up.)
        if "get" not in call[0] and not isinstance(met, DeadlineExceeded):
            assert met.outcome in ("refused", "not_sent")
        # Each part of a call was sent a bounded number of times.
        parts = len(call[1]) if call[0].endswith("many") else 1
        assert len(asked) <= 20 * parts
