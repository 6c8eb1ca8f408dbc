"""The page on several servers: its settings are accepted, its statements hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from redpony.conf import examine
from redpony.errors import CrossSlot
from redpony.wire.config import Cluster, Replicated, Sentinels
from tests.docs.snippets import python

PAGE = Path(__file__).parents[2] / "docs" / "topics" / "topologies.md"
SETTINGS = [each for each in python(PAGE) if "CACHES = {" in each.text]
NAMED = [Replicated, Sentinels, Sentinels, Cluster, Cluster]


def defined(block) -> dict:
    names: dict = {}
    exec(block.text, names)
    return names


def test_the_page_has_settings_for_every_topology():
    assert len(SETTINGS) == len(NAMED)


@pytest.mark.parametrize(
    ("block", "topology"),
    list(zip(SETTINGS, NAMED, strict=True)),
    ids=["list", "sentinel", "django-redis", "cluster", "nat"],
)
def test_the_settings_on_the_page_are_accepted(block, topology):
    alias = dict(defined(block)["CACHES"]["default"])
    assert alias.pop("BACKEND") == "redpony.cache.RedisCache"
    examined = examine("default", alias.pop("LOCATION"), alias)

    assert examined.problems == ()
    assert type(examined.config.topology) is topology


def test_the_page_says_what_is_read_from_unless_it_is_set():
    read_from = [
        examine(
            "default",
            defined(each)["CACHES"]["default"]["LOCATION"],
            {"OPTIONS": defined(each)["CACHES"]["default"].get("OPTIONS", {})},
        ).config.topology.read_from
        for each in SETTINGS
    ]

    assert read_from == ["replica", "primary", "replica", "primary", "primary"]


def test_keys_with_one_tag_belong_together(cache_on, places):
    (block,) = [each for each in python(PAGE) if "cache.smove" in each.text]
    cache = cache_on(places.fresh("valkey-cluster"))
    exec(block.text, {"cache": cache})

    assert cache.smembers("{user:1}:read") == {"a"}
    assert cache.smembers("{user:1}:seen") == {"b"}


def rows() -> dict[str, str]:
    section = PAGE.read_text().partition("| call | in a cluster |")[2]
    body = section.partition("\n\n")[0]
    found = re.findall(r"^\| (.+?) \| (.+?) \|$", body, re.MULTILINE)
    return {
        name: said for names, said in found for name in re.findall(r"`(\w+)`", names)
    }


@pytest.fixture
def spread(cache_on, places):
    """Two sets, two lists and a counter whose keys lie in different slots."""
    cluster = places.fresh("valkey-cluster")
    cache = cache_on(cluster)
    assert cluster.slot_of(":1:one") != cluster.slot_of(":1:two")
    cache.sadd("one", "a", "b")
    cache.sadd("two", "b", "c")
    cache.rpush("first", "x")
    cache.set("value", "v")
    return cache


CALLS = {
    "smove": lambda cache: cache.smove("one", "two", "a"),
    "lmove": lambda cache: cache.lmove("first", "second"),
    "sdiff": lambda cache: cache.sdiff("one", "two") == {"a"},
    "sinter": lambda cache: cache.sinter("one", "two") == {"b"},
    "sunion": lambda cache: cache.sunion("one", "two") == {"a", "b", "c"},
    "sdiffstore": lambda cache: cache.sdiffstore("three", "one", "two") == 1,
    "sinterstore": lambda cache: cache.sinterstore("three", "one", "two") == 1,
    "sunionstore": lambda cache: cache.sunionstore("three", "one", "two") == 3,
    "incr_version": lambda cache: cache.incr_version("value") == 2,
    "decr_version": lambda cache: cache.decr_version("value") == 0,
}


def test_every_call_of_the_table_is_tried_here():
    assert rows().keys() == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_without_a_common_tag_does_what_the_table_says(spread, name):
    if "CrossSlot" in rows()[name]:
        with pytest.raises(CrossSlot):
            CALLS[name](spread)
        assert spread.smembers("one") == {"a", "b"}
        assert spread.lrange("first", 0, -1) == ["x"]
    else:
        assert CALLS[name](spread)
