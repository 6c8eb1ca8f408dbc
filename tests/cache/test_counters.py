"""Counters and versions."""

from __future__ import annotations

import threading

import pytest
import redis

from redpony.errors import NotAnInteger


def test_incr_adds_and_returns_the_new_value(cache):
    cache.set("n", 1)
    assert cache.incr("n") == 2
    assert cache.incr("n", 10) == 12
    assert cache.decr("n", 2) == 10
    assert cache.incr("n", -20) == -10
    assert cache.get("n") == -10


def test_incr_keeps_the_expiry_to_the_millisecond(cache):
    cache.set("n", 1, 0.9)
    cache.incr("n")
    assert 0 < cache.pttl("n") <= 900


@pytest.mark.parametrize("method", ["incr", "decr", "incr_version", "decr_version"])
def test_a_missing_key_is_a_value_error_and_stays_missing(cache, method):
    with pytest.raises(ValueError, match="'missing' not found"):
        getattr(cache, method)("missing")
    assert not cache.has_key("missing")


def test_incr_may_make_the_key_when_told_so(cache):
    assert cache.incr("n", ignore_key_check=True) == 1


@pytest.mark.parametrize("value", ["text", 1.5, [1], None, True, 2**70])
def test_incr_of_something_else_is_refused_and_leaves_it(cache, value):
    cache.set("key", value, 100)
    with pytest.raises(NotAnInteger) as caught:
        cache.incr("key")
    assert isinstance(caught.value, redis.exceptions.ResponseError)
    assert isinstance(caught.value, TypeError)
    assert cache.get("key") == value
    assert 0 < cache.ttl("key") <= 100


def test_incr_past_64_bits_is_refused_and_leaves_the_value(cache):
    cache.set("n", 2**63 - 1)
    with pytest.raises(NotAnInteger):
        cache.incr("n")
    assert cache.get("n") == 2**63 - 1


@pytest.mark.parametrize(
    ("delta", "error"), [(1.5, TypeError), ("1", TypeError), (2**64, ValueError)]
)
def test_a_bad_delta_is_named(cache, delta, error):
    cache.set("n", 1)
    with pytest.raises(error, match="delta"):
        cache.incr("n", delta)
    assert cache.get("n") == 1


def test_incr_is_one_command_and_survives_a_script_flush(cache, server):
    cache.set("n", 0)
    cache.incr("n")
    with server.counting() as counted:
        cache.incr("n")
    assert counted.commands["evalsha"] == 1
    assert counted.commands["eval"] == 0
    server.client().script_flush()
    assert cache.incr("n") == 3


def test_no_count_is_lost_between_threads(make_cache):
    cache = make_cache()
    cache.set("n", 0)

    def count():
        for _ in range(200):
            cache.incr("n")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 1600


def test_incr_version_is_a_rename(cache):
    cache.set("key", {"a": 1}, 0.9)
    assert cache.incr_version("key") == 2
    assert cache.get("key") is None
    assert cache.get("key", version=2) == {"a": 1}
    assert 0 < cache.pttl("key", version=2) <= 900
    assert cache.decr_version("key", version=2) == 1
    assert cache.get("key") == {"a": 1}
    assert cache.incr_version("key", delta=5) == 6
    assert cache.get("key", version=6) == {"a": 1}


def test_incr_version_moves_a_stored_none_and_replaces_what_is_there(cache):
    cache.set("key", None)
    cache.set("key", "old", version=2)
    assert cache.incr_version("key") == 2
    assert cache.get("key", "missing", version=2) is None
    assert cache.incr_version("key", delta=0, version=2) == 2
    assert cache.has_key("key", version=2)
