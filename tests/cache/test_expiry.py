"""Time to live: ttl, expire and their millisecond and point-in-time forms."""

from __future__ import annotations

import datetime
import time

import pytest


def test_ttl_tells_missing_from_for_ever(cache):
    cache.set("forever", 1, None)
    cache.set("soon", 1, 100)
    cache.set("very-soon", 1, 0.4)
    assert cache.ttl("missing") == 0
    assert cache.pttl("missing") == 0
    assert cache.ttl("forever") is None
    assert cache.pttl("forever") is None
    assert 99 <= cache.ttl("soon") <= 100
    assert 99_000 < cache.pttl("soon") <= 100_000
    assert cache.ttl("very-soon") == 1


def test_expire_in_seconds_and_milliseconds(cache):
    cache.set("key", 1, None)
    assert cache.expire("key", 100) is True
    assert 99 <= cache.ttl("key") <= 100
    assert cache.expire("key", datetime.timedelta(seconds=50)) is True
    assert 49 <= cache.ttl("key") <= 50
    assert cache.expire("key", 0.5) is True
    assert 0 < cache.pttl("key") <= 500
    assert cache.pexpire("key", 90_500) is True
    assert 90_000 < cache.pttl("key") <= 90_500
    assert cache.pexpire("key", datetime.timedelta(seconds=20)) is True
    assert 19 <= cache.ttl("key") <= 20
    assert cache.expire("key") is True
    assert 299 <= cache.ttl("key") <= 300
    assert cache.expire("missing", 1) is False
    assert cache.pexpire("missing", 1) is False
    assert cache.expire("key", 0) is True
    assert not cache.has_key("key")


def test_expire_at_a_point_in_time(cache):
    now = time.time()
    soon = datetime.datetime.fromtimestamp(now + 100, datetime.UTC)
    cache.set("key", 1, None)
    assert cache.expire_at("key", soon) is True
    assert 98 <= cache.ttl("key") <= 100
    assert cache.expire_at("key", int(now) + 50) is True
    assert 48 <= cache.ttl("key") <= 50
    assert cache.pexpire_at("key", int((now + 30) * 1000)) is True
    assert 28_000 < cache.pttl("key") <= 30_000
    assert cache.pexpire_at("key", soon) is True
    assert 98 <= cache.ttl("key") <= 100
    assert cache.expire_at("missing", soon) is False
    assert cache.expire_at("key", int(now) - 10) is True
    assert not cache.has_key("key")


def test_persist_takes_the_expiry_away(cache):
    cache.set("key", 1, 10)
    assert cache.persist("key") is True
    assert cache.ttl("key") is None
    assert cache.persist("key") is False
    assert cache.persist("missing") is False


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("set", "10"),
        ("set", True),
        ("touch", b"1"),
        ("expire", "10"),
        ("pexpire", [1]),
        ("expire_at", "tomorrow"),
        ("pexpire_at", None),
    ],
)
def test_a_timeout_of_the_wrong_type_is_named_and_changes_nothing(
    cache, method, argument
):
    cache.set("key", "old", 100)
    args = ("key", "new", argument) if method == "set" else ("key", argument)
    with pytest.raises(TypeError, match=r"(timeout|when) must be"):
        getattr(cache, method)(*args)
    assert cache.get("key") == "old"
    assert 99 <= cache.ttl("key") <= 100


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 1e300])
def test_a_timeout_without_end_is_refused(cache, timeout):
    with pytest.raises(ValueError, match="None"):
        cache.set("key", 1, timeout)
    assert not cache.has_key("key")
