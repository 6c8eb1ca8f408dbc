"""The defects that were found in peers, each with a test that ours has not.

`D` numbers are django-redis', `V` django-valkey's, `C` Django's own backend's.
Those of ring-sharded, herd and cluster clients have no counterpart here.
"""

from __future__ import annotations

import asyncio
import enum
import pickle
import threading

import pytest
from django.core.signals import request_finished

from redpony.errors import NotAnInteger, ServerError, Unavailable
from tests.places import asked, pools


class Colour(enum.IntEnum):
    RED = 49


def test_d1_a_timeout_is_not_multiplied_when_a_write_is_tried_again(
    cache_on, both, cold_server
):
    server = cold_server()
    cache = both(cache_on(server, REPLICA_READ_ONLY=False, BREAKER={"FAILURES": 99}))
    cache.set("key", 1, 10)
    server.restart()
    assert cache.set("key", 1, timeout=10)
    assert 0 < cache.ttl("key") <= 10


def test_d2_aliases_with_one_url_keep_their_own_options(cache_on, server):
    first = cache_on(server, DEADLINE=1, POOL_SIZE=3)
    second = cache_on(server, DEADLINE=2, POOL_SIZE=5)
    assert first.alias.link is not second.alias.link
    assert first.alias.link.config.deadline == 1
    second.set("key", 1)
    assert {pool.size for pool in pools(second)} == {5}
    same = cache_on(server, DEADLINE=1, POOL_SIZE=3)
    assert same.alias.link is first.alias.link


def test_d3_incr_of_no_integer_drops_neither_key_nor_expiry(cache):
    cache.set("key", "text", 0.9)
    with pytest.raises(NotAnInteger):
        cache.incr("key")
    assert cache.get("key") == "text"
    assert 0 < cache.pttl("key") <= 900


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_d4_incr_version_is_one_command_and_keeps_the_milliseconds(cache, server):
    cache.set("key", None, 0.9)
    cache.incr_version("key")
    cache.decr_version("key", version=2)
    with server.counting() as counted:
        cache.incr_version("key")
    assert counted.commands["evalsha"] == 1
    assert 0 < cache.pttl("key", version=2) <= 900


def test_d5_and_d6_are_the_policys_table():
    """See test_unavailable: every method, and error replies are always raised."""
    from tests.cache import test_unavailable

    assert len(test_unavailable.CALLS) > 70


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_d9_delete_pattern_sends_no_transaction_and_no_small_pages(patient, server):
    patient.set_many({f"k{number}": 1 for number in range(5000)})
    with server.counting() as counted:
        assert patient.delete_pattern("k*") == 5000
    assert counted.commands["multi"] == 0
    assert counted.commands["scan"] <= 10


def test_d10_clear_leaves_what_is_not_ours(cache, server):
    server.client().set("_kombu.binding.celery", "x")
    cache.set("key", 1)
    cache.clear()
    assert server.keys() == [b"_kombu.binding.celery"]


def test_d11_a_prefix_with_colons_is_taken_off_whole(make_cache, both):
    cache = both(make_cache(KEY_PREFIX="a:b:c"))
    cache.set("foo:bar", 1)
    assert cache.keys("*") == ["foo:bar"]
    assert list(cache.iter_keys("foo*")) == ["foo:bar"]


def test_d12_scans_of_sets_are_whole_and_match_the_members_text(patient):
    patient.sadd("s", *(f"m{number}" for number in range(3000)))
    assert len(patient.sscan("s", count=10)) == 3000
    assert len(patient.sscan("s", match="m1*")) == 1111
    assert len(set(patient.sscan_iter("s", match="m1*"))) == 1111


def test_d13_smove_honours_the_version_on_both_ends(cache):
    cache.sadd("{x}a", 1, version=2)
    assert cache.smove("{x}a", "{x}b", 1, version=2) is True
    assert cache.smembers("{x}b", version=2) == {1}
    assert cache.smembers("{x}b") == set()


@pytest.mark.parametrize("damage", [b"\x80\x05garbage", b"\x1f\x8b\x08", b"{", b"\xc1"])
def test_d15_one_undecodable_value_is_a_miss(cache, server, damage):
    cache.set_many({"good": "1", "bad": "2"})
    server.client().set(":1:bad", damage)
    assert cache.get("bad", "miss") == "miss"
    assert cache.get_many(["good", "bad"]) == {"good": "1"}
    stored = server.client().get(":1:good")
    server.client().set(":1:good", stored[:-1])
    assert cache.get("good", "miss") == "miss"


def test_d18_any_iterable_holds_keys(cache):
    assert cache.get_many(iter([])) == {}
    assert cache.get_many(key for key in ["a"]) == {}


def test_d19_zpopmin_without_count_under_resp3_and_resp2(make_cache, both):
    for protocol in (2, 3):
        cache = both(make_cache(PROTOCOL=protocol))
        cache.zadd("z", {"a": 1, "b": 2})
        assert cache.zpopmin("z") == ("a", 1.0)
        assert cache.zpopmax("z") == ("b", 2.0)
        assert cache.zadd("z", {"a": 1}, incr=True) == 1.0
        assert cache.zscore("z", "a") == 1.0
        assert cache.zrange("z", 0, -1, withscores=True) == [("a", 1.0)]
        cache.hset("h", mapping={"f": 1})
        assert cache.hgetall("h") == {"f": 1}
        cache.sadd("s", 1)
        assert cache.smembers("s") == {1}
        cache.delete_pattern("*")


def test_d20_empty_calls_answer_as_django_says(cache):
    assert cache.set_many({}) == []
    assert cache.set_many({"a": 1}) == []
    assert cache.delete_many([]) is None


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_d21_ttl_and_set_many_are_single_commands(cache, server):
    cache.set("key", 1)
    with server.counting() as counted:
        cache.ttl("key")
        cache.set_many({"a": 1, "b": 2})
    assert sum(asked(counted).values()) in (2, 3)
    assert counted.commands["pttl"] == 1
    assert counted.commands["set"] + 2 * counted.commands["msetex"] == 2


def test_d22_an_integer_of_thousands_of_digits_kills_nobody(cache):
    cache.set("key", 10**5000)
    assert cache.get("key") == 10**5000
    with pytest.raises(ValueError, match="delta"):
        cache.incr("key", 10**5000)


def test_d23_an_enum_keeps_its_type(cache):
    cache.set("key", Colour.RED)
    assert cache.get("key") is Colour.RED


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_d23_output_that_looks_like_digits_is_not_misread(make_cache, both, serializer):
    cache = both(make_cache(SERIALIZER=serializer))
    for value in ("1", 1.0, [1], True):
        cache.set("key", value)
        found = cache.get("key")
        assert found == value
        assert type(found) is type(value)


def test_d24_asyncio_uses_no_thread(make_cache, monkeypatch):
    cache = make_cache(DEADLINE=10)

    async def work():
        await cache.aset("key", 1)
        started = threads()
        await asyncio.gather(*(cache.aget("key") for _ in range(50)))
        assert threads() == started

    def threads():
        # One looks at the topology now and then, whatever is asked meanwhile.
        names = (each.name for each in threading.enumerate())
        return sum(not name.startswith("redpony") for name in names)

    def refuse(*args, **kwargs):
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", refuse)
    asyncio.run(work())


@pytest.mark.forms("single", "replicated", "sentinel", "cluster")
def test_d25_settings_are_not_changed(cache_settings, server):
    import copy

    from django.core.cache import caches

    options = {"SOCKET_TIMEOUT": 1, "CONNECTION_POOL_KWARGS": {"max_connections": 5}}
    configured = {
        "default": {
            "BACKEND": "redpony.cache.RedisCache",
            "LOCATION": server.url(),
            "OPTIONS": options,
        }
    }
    before = copy.deepcopy(configured)
    cache_settings(configured)
    caches["default"].set("key", 1)
    assert configured == before


def test_d26_the_end_of_a_request_closes_nothing(make_cache):
    cache = make_cache()
    cache.set("key", 1)
    opened = [pool.opened for pool in pools(cache)]
    request_finished.send(sender=None)
    cache.close()
    assert [pool.opened for pool in pools(cache)] == opened
    assert sum(opened) >= 1


def test_d27_a_hash_can_be_read_back(cache):
    cache.hset("h", "f", {"a": 1})
    assert cache.hget("h", "f") == {"a": 1}
    assert cache.hgetall("h") == {"f": {"a": 1}}


@pytest.mark.parametrize("value", [-5, -(2**53) - 1, 1.5, -1.5, float("-inf")])
def test_v1_negative_numbers_keep_value_and_type(cache, value):
    cache.set("key", value)
    assert cache.get("key") == value
    assert type(cache.get("key")) is type(value)


def test_v2_set_many_has_the_timeout_that_was_asked_for(cache):
    cache.set_many({"a": 1})
    cache.set_many({"b": 1}, 60)
    cache.set_many({"c": 1}, timeout=30, version=2)
    assert 0 < cache.ttl("a") <= 300
    assert 0 < cache.ttl("b") <= 60
    assert 0 < cache.ttl("c", version=2) <= 30


def test_v4_and_v5_one_alias_serves_threads_and_one_loop_after_the_other(make_cache):
    cache = make_cache()
    cache.set("key", 1)
    for _ in range(3):
        assert asyncio.run(cache.aget("key")) == 1
    assert cache.get("key") == 1


def test_v6_importing_it_leaves_djangos_signals_alone():
    from django.core.cache import close_caches

    receivers = [receiver[1]() for receiver in request_finished.receivers]
    assert close_caches in receivers


def test_v10_version_zero_and_an_empty_prefix_are_usable(cache, server):
    cache.set("key", 1, version=0)
    assert server.keys() == [b":0:key"]
    assert cache.get("key", version=0) == 1
    assert cache.keys("*", version=0) == ["key"]


def test_v11_conflicts_are_false_and_not_none(cache):
    cache.set("key", 1)
    assert cache.add("key", 2) is False
    assert cache.set("key", 2, nx=True) is False


def test_v14_scripts_run_on_redis_and_valkey(cache):
    cache.set("n", 1)
    assert cache.incr("n") == 2


def test_v16_iteration_without_a_server_yields_nothing(cache_on, both):
    cache = both(cache_on(None, LOCATION="unix:///nowhere/redis.sock"))
    with pytest.raises(Unavailable):
        list(cache.iter_keys("*"))


@pytest.mark.forms("single")
def test_c_one_connection_serves_asyncio_tasks_and_contexts(make_cache, server):
    from django.core.cache import caches

    make_cache()

    async def request():
        return await caches["default"].aget("key")

    async def work():
        await request()
        with server.counting() as counted:
            await asyncio.gather(*(request() for _ in range(100)))
        assert counted.connections == 0
        assert counted.commands == {"get": 100}

    asyncio.run(work())


def test_c_incr_makes_no_immortal_key(cache):
    with pytest.raises(ValueError, match="not found"):
        cache.incr("missing")
    assert not cache.has_key("missing")


def test_c_sub_second_timeouts_store(cache):
    cache.set("key", 1, 0.9)
    assert 0 < cache.pttl("key") <= 900


def test_c_delete_many_of_nothing_is_no_error(cache):
    assert cache.delete_many(iter([])) is None


def test_c_options_of_other_backends_do_not_crash(make_cache, both):
    cache = both(make_cache(MAX_ENTRIES=10, CULL_FREQUENCY=3))
    cache.set("key", 1)
    assert cache.get("key") == 1


def test_c_a_foreign_pickle_is_not_loaded(cache, server):
    server.client().set(":1:key", pickle.dumps({"a": 1}))
    assert cache.get("key") is None


def test_a_type_error_of_the_server_is_still_a_response_error(cache):
    cache.rpush("l", 1)
    with pytest.raises(ServerError):
        cache.get("l")
