"""The short path of `get` answers as the plan does, whatever it meets."""

from __future__ import annotations

import pytest

from redpony import events
from redpony.errors import RedponyError


def outcome(cache, key):
    try:
        return cache.get(key, "default")
    except RedponyError as error:
        return type(error), str(error)


def by_plan(cache, key):
    """Return the outcome of the plan: a listener rules the short path out."""
    seen = []
    end = events.subscribe(seen.append, events.Operation)
    try:
        found = outcome(cache, key)
    finally:
        end()
    assert [event.name for event in seen] == ["get"]
    return found


@pytest.mark.parametrize("policy", ["raise", "degrade"])
def test_the_short_path_and_the_plan_answer_alike(make_cache, both, server, policy):
    cache = both(make_cache(ON_ERROR=policy))
    cache.set_many({"none": None, "zero": 0, "dict": {"a": 1}, "text": "x" * 10_000})
    cache.rpush("list", 1)
    raw = server.client()
    raw.set(":1:foreign", b"\x80\x05garbage")
    raw.set(":1:moved", raw.get(":1:dict"))
    raw.set(":1:cut", raw.get(":1:dict")[:-1])
    for key in (
        "missing",
        "none",
        "zero",
        "dict",
        "text",
        "list",
        "foreign",
        "moved",
        "cut",
        5,
    ):
        assert outcome(cache, key) == by_plan(cache, key), key


@pytest.mark.parametrize("policy", ["raise", "degrade"])
def test_they_fail_alike(cache_on, both, cold_server, policy):
    server = cold_server()
    cache = both(cache_on(server, ON_ERROR=policy, DEADLINE=0.2))
    cache.set("key", 1)
    server.stop()
    kinds = {str(outcome(cache, "key"))[:40], str(by_plan(cache, "key"))[:40]}
    assert len(kinds) == 1
    assert ("default" in kinds) == (policy == "degrade")


def test_a_lost_connection_is_replaced_without_the_caller_noticing(
    make_cache, both, server
):
    cache = both(make_cache())
    cache.set("key", 1)
    for _ in range(5):
        server.hang_up()
        assert cache.get("key") == 1
