"""Hashes, sets, lists and sorted sets on cache keys."""

from __future__ import annotations

import datetime
import decimal

import pytest

from redpony.errors import CrossSlot, NotAnInteger, NotSerializable, ServerError

MEMBERS = [1, "a", "1", 2.5, None, True, b"x", (1, "b"), decimal.Decimal("1.0")]


def test_a_hash_holds_values_by_field(cache):
    assert cache.hset("h", "a", {"x": 1}) == 1
    assert cache.hset("h", "a", {"x": 2}) == 0
    assert cache.hset("h", mapping={"b": 5, "c": None}) == 2
    assert cache.hget("h", "a") == {"x": 2}
    assert cache.hget("h", "missing") is None
    assert cache.hget("h", "missing", "else") == "else"
    assert cache.hgetall("h") == {"a": {"x": 2}, "b": 5, "c": None}
    assert cache.hmget("h", ["a", "c", "d"]) == {"a": {"x": 2}, "c": None}
    assert sorted(cache.hkeys("h")) == ["a", "b", "c"]
    assert len(cache.hvals("h")) == 3
    assert cache.hlen("h") == 3
    assert cache.hexists("h", "a") is True
    assert cache.hexists("h", "z") is False
    assert cache.hdel("h", "a") == 1
    assert cache.hdel("h", "b", "c", "d") == 2
    assert cache.hgetall("h") == {}
    assert cache.hmget("h", []) == {}


def test_a_hash_counts(cache):
    assert cache.hincrby("h", "n") == 1
    assert cache.hincrby("h", "n", 41) == 42
    assert cache.hget("h", "n") == 42
    cache.hset("h", "text", "x")
    with pytest.raises(NotAnInteger):
        cache.hincrby("h", "text")
    with pytest.raises(TypeError, match="amount"):
        cache.hincrby("h", "n", 1.5)
    assert cache.hsetnx("h", "n", 1) is False
    assert cache.hsetnx("h", "new", 1) is True


def test_a_hash_needs_something_to_set(cache):
    with pytest.raises(ValueError, match="mapping"):
        cache.hset("h")


def test_a_field_moved_to_another_is_refused(cache, server):
    cache.hset("h", mapping={"mine": "secret", "other": "x"})
    raw = server.client()
    raw.hset(":1:h", "other", raw.hget(":1:h", "mine"))
    assert cache.hget("h", "other", "refused") == "refused"
    assert cache.hgetall("h") == {"mine": "secret"}


def test_a_hash_key_has_prefix_and_version_and_its_fields_are_plain(cache, server):
    cache.hset("h", "field", 1)
    cache.hset("h", "field", 2, version=2)
    assert server.client().hgetall(":1:h") == {b"field": b"1"}
    assert cache.hget("h", "field", version=2) == 2


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_a_member_comes_back_and_is_found(cache, member):
    assert cache.sadd("s", member) == 1
    assert cache.sadd("s", member) == 0
    found = cache.smembers("s")
    assert found == {member}
    assert type(found.pop()) is type(member)
    assert cache.sismember("s", member) is True
    assert cache.srem("s", member) == 1


def test_sets_know_their_members(cache):
    assert cache.sadd("{x}s", 1, 2, "a") == 3
    assert cache.scard("{x}s") == 3
    assert cache.smismember("{x}s", 1, 5, "a") == [True, False, True]
    assert cache.smembers("{x}s") == {1, 2, "a"}
    assert cache.srandmember("{x}s") in {1, 2, "a"}
    assert len(cache.srandmember("{x}s", 2)) == 2
    assert cache.smove("{x}s", "{x}t", 1) is True
    assert cache.smove("{x}s", "{x}t", 99) is False
    assert cache.smembers("{x}t") == {1}
    assert cache.spop("{x}s", 5) == {2, "a"}
    assert cache.spop("{x}s") is None
    assert cache.srandmember("{x}s") is None
    assert cache.sadd("{x}s") == 0
    assert cache.srem("{x}s") == 0
    assert cache.smismember("{x}s") == []


def test_sets_are_combined(cache):
    cache.sadd("a", 1, 2, 3)
    cache.sadd("b", 2, 3, 4)
    assert cache.sinter("a", "b") == {2, 3}
    assert cache.sunion("a", "b") == {1, 2, 3, 4}
    assert cache.sdiff("a", "b") == {1}


def test_sets_are_combined_into_another(cache):
    cache.sadd("a", 1, 2, 3)
    cache.sadd("b", 2, 3, 4)
    assert cache.sinterstore("c", "a", "b") == 2
    assert cache.sunionstore("c", "a", "b") == 4
    assert cache.sdiffstore("c", "a", "b") == 1
    assert cache.smembers("c") == {1}
    assert cache.sdiffstore("c", "a", "b", version_dest=2) == 1
    assert cache.smembers("c", version=2) == {1}


def test_a_scan_of_a_set_sees_all_of_it(patient):
    patient.sadd("s", *(f"m{number}" for number in range(3000)))
    assert len(patient.sscan("s")) == 3000
    assert patient.sscan("s", "m10?") == {f"m10{n}" for n in range(10)}
    assert set(patient.sscan_iter("s", "m1", count=100)) == {"m1"}
    assert len(set(patient.sscan_iter("s"))) == 3000


def test_lists_keep_their_order(cache):
    assert cache.rpush("{x}l", 1, "b", None) == 3
    assert cache.lpush("{x}l", 0, -1) == 5
    assert cache.lrange("{x}l") == [-1, 0, 1, "b", None]
    assert cache.lrange("{x}l", 1, 2) == [0, 1]
    assert cache.llen("{x}l") == 5
    assert cache.lindex("{x}l", 3) == "b"
    assert cache.lindex("{x}l", 30) is None
    assert cache.lset("{x}l", 0, "first") is True
    assert cache.lpop("{x}l") == "first"
    assert cache.rpop("{x}l", 2) == [None, "b"]
    assert cache.lpos("{x}l", 1) == 1
    assert cache.lpos("{x}l", 99) is None
    assert cache.linsert("{x}l", "before", 1, "between") == 3
    assert cache.lrem("{x}l", 0, "between") == 1
    assert cache.ltrim("{x}l", 0, 0) is True
    assert cache.lrange("{x}l") == [0]
    assert cache.lmove("{x}l", "{x}m", "left", "right") == 0
    assert cache.lrange("{x}m") == [0]
    assert cache.lpop("{x}l") is None
    assert cache.lpop("{x}l", 3) == []
    assert cache.lmove("{x}l", "{x}m") is None
    assert cache.rpush("{x}l") == 0


@pytest.mark.forms("cluster")
@pytest.mark.parametrize(
    ("method", "args"), [("smove", ("a", "b", 1)), ("lmove", ("a", "b"))]
)
def test_a_move_between_servers_of_a_cluster_is_refused(cache, method, args):
    with pytest.raises(CrossSlot, match="hash tag"):
        getattr(cache, method)(*args)


def test_lists_name_what_is_wrong(cache):
    cache.rpush("l", 1)
    with pytest.raises(ValueError, match="before"):
        cache.linsert("l", "beside", 1, 2)
    with pytest.raises(ValueError, match="left"):
        cache.lmove("l", "m", "up", "down")
    with pytest.raises(ServerError, match="range"):
        cache.lset("l", 5, 1)


def test_sorted_sets_order_by_score(cache):
    assert cache.zadd("z", {"a": 1, "b": 2.5, "c": -1}) == 3
    assert cache.zcard("z") == 3
    assert cache.zrange("z", 0, -1) == ["c", "a", "b"]
    assert cache.zrange("z", 0, 0, desc=True, withscores=True) == [("b", 2.5)]
    assert cache.zrevrange("z", 0, 1) == ["b", "a"]
    assert cache.zrangebyscore("z", 0, "+inf", withscores=True) == [
        ("a", 1.0),
        ("b", 2.5),
    ]
    assert cache.zrangebyscore("z", "(1", 9) == ["b"]
    assert cache.zrangebyscore("z", "-inf", "+inf", start=1, num=1) == ["a"]
    assert cache.zrevrangebyscore("z", 9, -9, score_cast_func=int, withscores=True) == [
        ("b", 2),
        ("a", 1),
        ("c", -1),
    ]
    assert cache.zcount("z", 0, 3) == 2
    assert cache.zscore("z", "b") == 2.5
    assert cache.zscore("z", "missing") is None
    assert cache.zincrby("z", 0.5, "b") == 3.0
    assert cache.zrank("z", "b") == 2
    assert cache.zrevrank("z", "b") == 0
    assert cache.zrank("z", "missing") is None
    assert cache.zadd("z", {"a": 5}, incr=True) == 6.0
    assert cache.zadd("z", {"a": 1}, nx=True, incr=True) is None
    assert cache.zadd("z", {"a": 7, "new": 1}, ch=True) == 2
    assert cache.zadd("z", {"a": 6}, gt=True, ch=True) == 0
    assert cache.zpopmin("z") == ("c", -1.0)
    assert cache.zpopmax("z", 2) == [("a", 7.0), ("b", 3.0)]
    assert cache.zrem("z", "new", "other") == 1
    assert cache.zpopmax("z") is None
    assert cache.zpopmin("z", 2) == []


def test_sorted_sets_remove_ranges(cache):
    cache.zadd("z", {number: number for number in range(10)})
    assert cache.zremrangebyscore("z", 0, 3) == 4
    assert cache.zremrangebyrank("z", 0, 1) == 2
    assert cache.zrange("z", 0, -1) == [6, 7, 8, 9]


def test_sorted_sets_name_what_is_wrong(cache):
    with pytest.raises(ValueError, match="member"):
        cache.zadd("z", {})
    with pytest.raises(ValueError, match="exactly one"):
        cache.zadd("z", {"a": 1, "b": 2}, incr=True)
    with pytest.raises(ValueError, match="nan"):
        cache.zadd("z", {"a": float("nan")})
    with pytest.raises(ValueError, match="together"):
        cache.zrangebyscore("z", 0, 1, start=1)


def test_a_member_without_canonical_form_is_refused(cache):
    with pytest.raises(NotSerializable, match="object"):
        cache.sadd("s", object())
    with pytest.raises(NotSerializable):
        cache.rpush("l", datetime)
    assert cache.scard("s") == 0


def test_one_type_does_not_pass_for_another(cache):
    cache.sadd("key", 1)
    with pytest.raises(ServerError) as caught:
        cache.get("key")
    assert caught.value.code == "WRONGTYPE"
    with pytest.raises(TypeError):
        cache.rpush("key", 1)
    assert cache.smembers("key") == {1}
    assert cache.set("key", "now a value") is True
