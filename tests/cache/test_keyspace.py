"""Patterns, iteration, delete_pattern and clear."""

from __future__ import annotations

import pytest

from tests.places import await_idle


def test_keys_returns_the_users_keys_that_match(cache):
    cache.set_many({"user:1": 1, "user:2": 2, "other": 3})
    cache.set("user:3", 3, version=2)
    assert sorted(cache.keys("user:*")) == ["user:1", "user:2"]
    assert sorted(cache.keys("*")) == ["other", "user:1", "user:2"]
    assert sorted(cache.keys()) == ["other", "user:1", "user:2"]
    assert cache.keys("user:*", version=2) == ["user:3"]
    assert cache.keys("nothing*") == []


def test_iter_keys_pages_through(patient):
    names = {f"key{number}" for number in range(500)}
    patient.set_many(dict.fromkeys(names, 1))
    assert set(patient.iter_keys("*", itersize=50)) == names
    assert set(patient.iter_keys("key1?")) == {f"key1{n}" for n in range(10)}


@pytest.mark.parametrize("prefix", ["a*b", "a[b]c", "a?", "a\\b", "a:b", "[^x]", "a-b"])
def test_a_prefix_is_taken_literally(make_cache, both, prefix):
    cache = both(make_cache(KEY_PREFIX=prefix))
    other = both(make_cache(KEY_PREFIX="aXb"))
    another = both(make_cache(KEY_PREFIX="b"))
    for each in (cache, other, another):
        each.set("key", 1)
    assert cache.keys("*") == ["key"]
    assert cache.delete_pattern("*") == 1
    assert other.get("key") == 1
    assert another.get("key") == 1


def test_delete_pattern_returns_how_many_and_leaves_the_rest(patient):
    patient.set_many({f"a{number}": 1 for number in range(2500)})
    patient.set("b", 1)
    patient.set("a", 1, version=2)
    assert patient.delete_pattern("a*") == 2500
    assert patient.get("b") == 1
    assert patient.get("a", version=2) == 1
    assert patient.delete_pattern("a*") == 0
    assert patient.delete_pattern("b", itersize=10) == 1
    assert patient.delete_pattern("*", version=2) == 1
    patient.set("key", 1)
    assert patient.delete_pattern("key", prefix="elsewhere") == 0


@pytest.mark.forms("single", "replicated", "sentinel", "guarded")
def test_delete_pattern_unlinks_in_large_pages(patient, server):
    patient.set_many({f"a{number}": 1 for number in range(2500)})
    with server.counting() as counted:
        patient.delete_pattern("a*")
    assert counted.commands["scan"] <= 5
    assert counted.commands["unlink"] <= counted.commands["scan"]
    assert counted.commands["del"] == 0


def test_clear_removes_all_versions_of_this_prefix_and_nothing_else(
    make_cache, both, server
):
    cache = both(make_cache(KEY_PREFIX="mine"))
    longer = both(make_cache(KEY_PREFIX="mine:too"))
    plain = both(make_cache())
    cache.set("a", 1)
    cache.set("b", 2, version=7)
    longer.set("a", 1)
    plain.set("a", 1)
    raw = server.client()
    raw.set("celery-task", "x")
    raw.set("redpony{lock}", "x")
    raw.set("mine", "x")
    assert cache.clear() is True
    assert cache.get("a") is None
    assert cache.get("b", version=7) is None
    assert longer.get("a") == 1
    assert plain.get("a") == 1
    for theirs in ("celery-task", "redpony{lock}", "mine"):
        assert raw.get(theirs) == b"x"
    plain.clear()
    assert longer.get("a") == 1


def test_clear_may_empty_the_database_by_choice(make_cache, both, server):
    cache = both(make_cache(CLEAR="flushdb"))
    cache.set("a", 1)
    server.client().set("other", 1)
    cache.clear()
    assert server.keys() == []


def scrambled(key, prefix, version):
    return f"{version}|{prefix}|{key}"


def unscrambled(key):
    return key.split("|", 2)[2]


def hashing(key, prefix, version):
    import hashlib

    return hashlib.sha256(f"{prefix}{version}{key}".encode()).hexdigest()


def test_a_key_function_is_honoured_everywhere(make_cache, both, server):
    cache = both(
        make_cache(
            KEY_PREFIX="p",
            KEY_FUNCTION=f"{__name__}.scrambled",
            REVERSE_KEY_FUNCTION=f"{__name__}.unscrambled",
        )
    )
    cache.set("a", 1)
    cache.set_many({"b": 2})
    assert server.keys() == [b"1|p|a", b"1|p|b"]
    assert sorted(cache.keys("*")) == ["a", "b"]
    assert cache.incr_version("a") == 2
    assert cache.delete_pattern("b") == 1
    cache.clear()
    assert server.keys() == []


def test_clear_says_when_a_key_function_leaves_no_pattern(make_cache, both):
    cache = both(make_cache(KEY_FUNCTION=f"{__name__}.hashing"))
    cache.set("a", 1)
    with pytest.raises(ValueError, match="flushdb"):
        cache.clear()
    assert cache.get("a") == 1


def test_bytes_that_are_no_text_are_removed_too(cache, server):
    server.client().set(b":1:\xff\xfe", 1)
    assert cache.delete_pattern("*") == 1


def test_no_connection_is_held_between_pages(make_cache):
    cache = make_cache()
    cache.set_many({f"key{number}": 1 for number in range(100)})
    for _ in cache.iter_keys("*", itersize=10):
        await_idle(cache)
