"""The fixtures give caches on real servers, and leave none behind."""

import inspect
from collections import Counter

from django.conf import settings
from django.core.cache import caches


def test_one_body_runs_on_each_server_in_each_colour(cache):
    cache.set("a", {"b": 1})
    assert cache.get("a") == {"b": 1}
    assert "a" in cache
    assert cache.get("gone") is None


def test_options_reach_the_alias(make_cache):
    made = make_cache(TIMEOUT=7, KEY_PREFIX="p", DEADLINE=1.5)
    assert made is caches["default"]
    assert made.default_timeout == 7
    assert settings.CACHES["default"]["OPTIONS"]["DEADLINE"] == 1.5


def test_a_second_alias_is_another_cache_on_the_same_server(make_cache):
    first, second = make_cache(), make_cache(KEY_PREFIX="other")
    first.set("a", 1)
    assert second.get("a") is None
    assert caches["second"] is second


def test_a_test_leaves_no_connection_behind(server, request):
    # The connections of whatever ran before this test on the same server.
    assert server.users() == []


def test_no_two_rooms_of_the_cache_define_the_same_name():
    from redpony.cache import RedisCache

    rooms = [
        each
        for each in inspect.getmro(RedisCache)
        if "redpony.cache." in each.__module__
    ]
    ours = Counter(
        name
        for room in rooms
        for name, value in vars(room).items()
        if inspect.isfunction(value) and not name.startswith("__")
    )
    assert {name for name, times in ours.items() if times > 1} == set()
