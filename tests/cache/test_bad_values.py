"""Bad keys and values: a clear error, the old value in place, the connection usable."""

from __future__ import annotations

import warnings

import pytest
from django.core.cache.backends.base import CacheKeyWarning

from redpony import events
from redpony.conf import Misconfigured
from redpony.errors import (
    NotSerializable,
    OutOfMemory,
    ReadOnly,
    ServerError,
    TooLarge,
    Unavailable,
)
from tests.hostile import HELLO, FakeServer, resets


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("secret-value")


@pytest.mark.parametrize("value", [lambda: None, Unpicklable()], ids=["lambda", "own"])
@pytest.mark.parametrize("method", ["set", "add", "set_many", "get_or_set"])
def test_a_value_that_cannot_be_serialized_names_its_type(cache, method, value):
    cache.set("key", "old")
    args = {
        "set": ("key", value),
        "add": ("new", value),
        "set_many": ({"other": 1, "key": value},),
        "get_or_set": ("new", [value]),
    }[method]
    with pytest.raises(NotSerializable) as caught:
        getattr(cache, method)(*args)
    assert "secret-value" not in str(caught.value)
    assert cache.get("key") == "old"
    assert not cache.has_key("new")
    assert not cache.has_key("other")


@pytest.mark.parametrize("method", ["set", "set_many"])
def test_a_value_that_is_too_large_names_the_setting(make_cache, both, method):
    cache = both(make_cache(MAX_VALUE_BYTES=1000))
    cache.set("key", "old")
    large = "x" * 1001
    args = ("key", large) if method == "set" else ({"key": large},)
    with pytest.raises(TooLarge, match="MAX_VALUE_BYTES"):
        getattr(cache, method)(*args)
    assert cache.get("key") == "old"


def test_a_stored_value_that_is_too_large_is_a_miss(make_cache, both):
    both(make_cache()).set("key", "x" * 5000)
    assert both(make_cache(MAX_VALUE_BYTES=1000)).get("key", "miss") == "miss"


@pytest.mark.parametrize("key", ["with space", "new\nline", "x" * 251, "\x7f"])
def test_keys_that_not_every_backend_takes_are_warned_of(cache, key):
    for method, args in (
        ("set", (key, 1)),
        ("get", (key,)),
        ("get_many", ([key],)),
        ("set_many", ({key: 1},)),
        ("delete_many", ([key],)),
        ("incr", (key,)),
        ("touch", (key,)),
        ("has_key", (key,)),
        ("hset", ("h" + key, "f", 1)),
    ):
        with pytest.warns(CacheKeyWarning):
            if method == "incr":
                with pytest.raises(ValueError):
                    getattr(cache, method)("n" + key)
            else:
                getattr(cache, method)(*args)


def test_a_key_with_line_ends_is_one_key(cache):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheKeyWarning)
        cache.set("a\r\nFLUSHALL\r\n", 1)
        assert cache.get("a\r\nFLUSHALL\r\n") == 1


def test_a_surrogate_in_a_key_is_an_error_and_no_broken_connection(cache):
    with pytest.raises(ValueError):
        cache.get("\ud800")
    cache.set("key", 1)
    assert cache.get("key") == 1


def test_a_number_of_more_digits_than_c_takes_is_stored(cache):
    huge = 10**5000
    cache.set("key", huge)
    assert cache.get("key") == huge


@pytest.mark.parametrize(
    "stored", [b" 12 ", b"1_000", b"+5", b"0x10", b"", b"-", b"01"]
)
def test_only_canonical_integers_are_integers(cache, server, stored):
    server.client().set(":1:key", stored)
    assert cache.get("key", "miss") == "miss"


def test_a_planted_pickle_is_a_miss_and_is_not_executed(cache, server, tmp_path):
    import pickle

    class Planted:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    seen = []
    end = events.subscribe(seen.append, events.Refused)
    try:
        server.client().set(":1:key", pickle.dumps(Planted()))
        assert cache.get("key", "miss") == "miss"
        assert cache.get_many(["key"]) == {}
    finally:
        end()
    assert not (tmp_path / "executed").exists()
    assert [event.reason for event in seen] == ["format", "format"]


def test_a_value_under_another_key_is_tampering(cache, server):
    cache.set_many({"mine": {"admin": False}, "root": {"admin": True}})
    raw = server.client()
    raw.set(":1:mine", raw.get(":1:root"))
    seen = []
    end = events.subscribe(seen.append, events.Refused)
    try:
        assert cache.get("mine", "miss") == "miss"
    finally:
        end()
    assert [event.reason for event in seen] == ["tampered"]
    assert "admin" not in repr(seen)


def test_one_bad_value_does_not_fail_the_others(cache, server):
    cache.set_many({"a": "1", "b": "2"})
    server.client().set(":1:a", b"\x80garbage")
    assert cache.get_many(["a", "b"]) == {"b": "2"}


def fill(server):
    server.ask("SET", "fill", "x" * 2_000_000)
    server.ask("CONFIG", "SET", "maxmemory", "1mb")


def test_a_full_server_is_an_error_and_keeps_the_old_value(cache_on, both, cold_server):
    server = cold_server(settings=["maxmemory-policy noeviction"])
    cache = both(cache_on(server))
    cache.set("key", "old")
    fill(server)
    with pytest.raises(OutOfMemory):
        cache.set("key", "new")
    with pytest.raises(OutOfMemory):
        cache.set_many({"key": "new", "other": "x"})
    with pytest.raises(OutOfMemory):
        cache.rpush("list", 1)
    assert cache.get("key") == "old"


def test_a_full_server_is_gone_on_without_where_that_is_the_policy(
    cache_on, both, cold_server
):
    server = cold_server(settings=["maxmemory-policy noeviction"])
    cache = both(cache_on(server, ON_ERROR="degrade"))
    cache.set("key", "old")
    cache.set("count", 1)
    fill(server)
    seen = []
    end = events.subscribe(seen.append, events.Degraded)
    assert cache.set("key", "new") is False
    assert cache.set_many({"key": "new", "other": "x"}) == ["key", "other"]
    assert cache.rpush("list", 1) == 0
    assert cache.zadd("sorted", {"a": 1}) == 0
    assert cache.get_or_set("made", lambda: "made") == "made"
    end()
    assert [each.name for each in seen] == [
        "set",
        "set_many",
        "rpush",
        "zadd",
        "get_or_set",
    ]
    assert cache.get("key") == "old"
    with pytest.raises(OutOfMemory):
        cache.incr("count")


def test_a_refused_command_names_the_user_and_leaves_the_connection(
    cache_on, both, cold_server
):
    server = cold_server("redis", acl=["user app on >pw ~* +@all -unlink"])
    cache = both(cache_on(None, LOCATION=server.url(user="app", password="pw")))
    cache.set("key", 1)
    with pytest.raises(ServerError) as caught:
        cache.delete("key")
    assert caught.value.code == "NOPERM"
    assert cache.get("key") == 1


@pytest.mark.parametrize("policy", ["raise", "degrade"])
def test_a_wrong_password_names_the_option_and_hides_the_password(
    cache_on, both, cold_server, policy
):
    server = cold_server(password="right")
    url = server.url(password="wr0ng-secret")
    cache = both(cache_on(None, LOCATION=url, ON_ERROR=policy))
    seen = []
    end = events.subscribe(seen.append, events.Degraded)
    try:
        if policy == "raise":
            with pytest.raises(Unavailable, match="PASSWORD") as caught:
                cache.get("key")
            error = caught.value
        else:
            assert cache.get("key", "miss") == "miss"
            error = seen[0].error
    finally:
        end()
    while error is not None:
        assert "wr0ng-secret" not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_a_database_that_is_not_there_is_a_setting_of_the_alias(cache_on, both, server):
    cache = both(cache_on(server, LOCATION=server.url(db=99)))
    with pytest.raises(Misconfigured, match=r'CACHES\["default"\].*database 99'):
        cache.get("key")


def test_a_server_that_is_too_old_is_named_with_what_is_needed(cache_on, both):
    old = HELLO.replace(b"7.0.15", b"6.0.16")
    with FakeServer(lambda peer: (peer.greet(old), peer.silence())) as fake:
        cache = both(cache_on(None, LOCATION=fake.url))
        with pytest.raises(Misconfigured, match=r"6\.0\.16.*too old.*6\.2"):
            cache.get("key")


def test_a_replica_takes_no_writes_and_says_what_location_must_name(
    cache_on, both, cold_server
):
    primary = cold_server()
    replica = cold_server()
    replica.ask("REPLICAOF", primary.host, str(primary.port))
    cache = both(cache_on(replica))
    with pytest.raises(ReadOnly, match="LOCATION must name the primary"):
        cache.set("key", 1)
    assert cache.get("key", "miss") == "miss"


def test_nobody_at_the_address_is_told_apart_from_a_slow_server(cache_on, both):
    with FakeServer(resets) as fake:
        url = fake.url
    cache = both(cache_on(None, LOCATION=url))
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        cache.set("key", 1)
    assert caught.value.outcome == "not_sent"
    assert any('CACHES["default"]' in note for note in caught.value.__notes__)
