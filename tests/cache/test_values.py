"""Values: get, set, add, delete, touch, many at once, and get_or_set."""

from __future__ import annotations

import datetime
import decimal
import uuid

import pytest

from tests.places import asked, await_idle

VALUES = [
    None,
    True,
    False,
    0,
    -5,
    2**63 - 1,
    -(2**63),
    2**63,
    10**30,
    1.5,
    float("inf"),
    "",
    "text",
    "h\u00e9ll\u00f3 \u4e16\u754c",
    "123",
    b"",
    b"\x00\xff",
    b"42",
    [1, "a", None],
    (1, 2),
    {1, 2},
    {"a": {"b": [1]}},
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
    datetime.datetime(2026, 11, 22, 8, 0, tzinfo=datetime.UTC),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_equal_and_of_its_type(cache, value):
    assert cache.set("key", value) is True
    found = cache.get("key")
    assert found == value
    assert type(found) is type(value)


def test_a_missing_key_is_the_default(cache):
    assert cache.get("missing") is None
    assert cache.get("missing", "else") == "else"


def test_a_stored_none_is_no_miss(cache):
    cache.set("key", None)
    assert cache.get("key", "else") is None
    assert cache.has_key("key") is True
    assert cache.get_many(["key"]) == {"key": None}
    assert cache.get_or_set("key", "else") is None


def test_set_reports_whether_it_stored(cache):
    assert cache.set("key", 1, nx=True) is True
    assert cache.set("key", 2, nx=True) is False
    assert cache.set("key", 3, xx=True) is True
    assert cache.set("other", 3, xx=True) is False
    assert cache.get("key") == 3
    assert cache.get("other") is None


def test_add_stores_only_what_is_missing(cache):
    assert cache.add("key", 1) is True
    assert cache.add("key", 2) is False
    assert cache.get("key") == 1


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_a_timeout_that_is_over_deletes(cache, timeout):
    cache.set("key", 1)
    assert cache.set("key", 2, timeout) is True
    assert cache.get("key") is None
    assert cache.set("key", 2, timeout) is False
    assert cache.set("key", 2, timeout, nx=True) is True
    assert cache.get("key") is None


@pytest.mark.forms("single")
@pytest.mark.parametrize(
    ("timeout", "milliseconds"),
    [(0.5, 500), (0.29, 290), (1.001, 1001), (2, 2000), (0.001, 1), (1e-4, 0)],
)
def test_timeouts_are_exact_to_the_millisecond(cache, server, timeout, milliseconds):
    with server.client().monitor() as monitor:
        cache.set("key", "v", timeout)
        said = ""
        while "key" not in said:
            said = monitor.next_command()["command"]
    if milliseconds:
        assert said.endswith(f" PX {milliseconds}")
    else:
        assert said.startswith("UNLINK")


def test_the_default_timeout_is_the_aliass(make_cache, both):
    assert 0 < _after_set(both(make_cache(TIMEOUT=20))) <= 20
    assert 0 < _after_set(both(make_cache())) <= 300
    assert _after_set(both(make_cache(TIMEOUT=None))) is None
    assert _after_set(both(make_cache(TIMEOUT=0))) == 0


def _after_set(cache):
    cache.set("key", 1)
    return cache.ttl("key")


def test_delete_reports_whether_the_key_was_there(cache):
    cache.set("key", 1)
    assert cache.delete("key") is True
    assert cache.delete("key") is False


def test_touch_gives_another_timeout(cache):
    cache.set("key", 1, 10)
    assert cache.touch("key", 1000) is True
    assert 900 < cache.ttl("key") <= 1000
    assert cache.touch("key", None) is True
    assert cache.ttl("key") is None
    assert cache.touch("key", None) is True
    assert cache.touch("key", 0) is True
    assert cache.get("key") is None
    assert cache.touch("key", 10) is False
    assert cache.touch("key", None) is False


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_many_values_are_one_round_trip(cache, server):
    data = {f"key{number}": {"n": number} for number in range(250)}
    cache.get("warm")
    with server.counting() as counted:
        assert cache.set_many(data, 60) == []
        assert cache.get_many([*data, "missing"]) == data
    assert counted.commands["set"] + 250 * counted.commands["msetex"] == 250
    assert counted.commands["mget"] == 1
    assert cache.delete_many(list(data)) == 250
    assert cache.get_many(data) == {}


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_many_values_for_ever_are_one_command(cache, server):
    cache.get("warm")
    with server.counting() as counted:
        assert cache.set_many({"a": 1, "b": "2", "c": None}, None) == []
    assert asked(counted) == {"mset": 1}
    assert cache.get_many("abc") == {"a": 1, "b": "2", "c": None}
    assert cache.ttl("b") is None


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_a_newer_server_sets_many_with_an_expiry_at_once(cache, server):
    cache.get("warm")
    with server.counting() as counted:
        cache.set_many({"a": 1, "b": 2}, 60)
    newer = server.flavour == "valkey"
    assert asked(counted) == ({"msetex": 1} if newer else {"set": 2})
    assert 59_000 < cache.pttl("b") <= 60_000


def test_a_huge_number_of_keys_is_whole(patient, server):
    data = {f"key{number}": number for number in range(12_000)}
    assert patient.set_many(data) == []
    with server.counting() as counted:
        assert patient.get_many(data) == data
        assert patient.delete_many(data) == 12_000
    assert server.keys() == []
    if len(server.primaries) == 1:
        assert counted.commands["mget"] == 3
        assert counted.commands["unlink"] == 3


def test_many_of_nothing_asks_nothing(cache, server):
    cache.get("warm")
    with server.counting() as counted:
        assert cache.get_many([]) == {}
        assert cache.set_many({}) == []
        assert cache.delete_many([]) is None
        assert cache.get_many(iter([])) == {}
        assert cache.delete_many(iter([])) is None
    assert asked(counted) == {}


def test_generators_are_taken_for_keys(cache):
    cache.set_many({"a": 1, "b": 2})
    assert cache.get_many(key for key in "abc") == {"a": 1, "b": 2}
    assert cache.delete_many(key for key in "abc") == 2


def test_keys_need_not_be_text(cache):
    cache.set(1, "one")
    assert cache.get(1) == "one"
    assert cache.get("1") == "one"
    assert cache.get_many([1, 2]) == {1: "one"}
    assert cache.set_many({3: "three"}) == []
    assert cache.get(3) == "three"


def test_set_many_honours_timeouts(cache):
    cache.set_many({"a": 1}, 0.5)
    assert 0 < cache.pttl("a") <= 500
    cache.set_many({"a": 1}, None)
    assert cache.ttl("a") is None
    cache.set_many({"a": 1}, 0)
    assert cache.get("a") is None
    cache.set_many({"b": 1})
    assert 0 < cache.ttl("b") <= 300


def test_versions_are_apart(cache):
    cache.set("key", 1)
    cache.set("key", 2, version=2)
    assert cache.get("key") == 1
    assert cache.get("key", version=2) == 2
    assert cache.get("key", version=0) is None
    assert cache.delete("key", version=2) is True
    assert cache.get("key") == 1


def test_get_or_set_computes_only_a_miss(cache):
    calls = []

    def compute():
        calls.append(1)
        return "made"

    assert cache.get_or_set("key", compute) == "made"
    assert cache.get_or_set("key", compute) == "made"
    assert calls == [1]
    assert cache.get_or_set("plain", 5) == 5
    assert cache.get_or_set("none", lambda: None) is None
    assert cache.has_key("none")
    assert cache.get_or_set("gone", 5, timeout=0) == 5
    assert not cache.has_key("gone")


def test_get_or_set_returns_what_somebody_else_stored_meanwhile(cache, make_cache):
    def compute():
        cache.target.set("key", "theirs")
        return "ours"

    assert cache.get_or_set("key", compute) == "theirs"


def test_get_or_set_is_one_round_trip_for_a_hit_and_two_for_a_miss(cache):
    from redpony import events

    seen = []
    end = events.subscribe(seen.append, events.Operation)
    try:
        cache.get_or_set("key", lambda: 1)
        cache.get_or_set("key", lambda: 1)
    finally:
        end()
    assert [event.round_trips for event in seen] == [2, 1]


@pytest.mark.parametrize("error", [ValueError, StopIteration, KeyError])
def test_the_users_error_reaches_the_caller(make_cache, error):
    cache = make_cache()

    def compute():
        raise error("mine")

    with pytest.raises(error, match="mine"):
        cache.get_or_set("key", compute)
    await_idle(cache)


def test_a_coroutine_function_is_awaited_in_asyncio_only(cache):
    async def compute():
        return "made"

    if cache.colour.is_async:
        assert cache.get_or_set("key", compute) == "made"
    else:
        with pytest.raises(TypeError, match="asyncio twin"):
            cache.get_or_set("key", compute)
