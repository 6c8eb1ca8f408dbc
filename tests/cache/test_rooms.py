"""The rooms of the cache stand side by side: none overwrites another's name."""

from __future__ import annotations

import inspect
from collections import Counter

from django.core.cache.backends.base import BaseCache

from redpony.cache.backend import RedisCache
from redpony.cache.policy import ANSWERS
from redpony.cache.room import Room

ROOMS = [
    room
    for room in RedisCache.__mro__
    if issubclass(room, Room) and room not in (Room, RedisCache)
]


def test_no_two_rooms_define_the_same_name():
    names = Counter(
        name for room in ROOMS for name in vars(room) if not name.startswith("__")
    )
    twice = {name for name, count in names.items() if count > 1} - {"_planned"}
    twice -= {"_custom_keys"}
    assert twice == set()


def public(cls):
    return {
        name
        for name, value in inspect.getmembers(cls, callable)
        if not name.startswith("_")
    }


def test_every_public_operation_has_both_colours():
    alone = {
        # About keys, not about the server.
        "make_key",
        "make_and_validate_key",
        "validate_key",
        "make_pattern",
        "reverse_key",
        "get_backend_timeout",
        "key_func",
    }
    names = public(RedisCache)
    operations = {name for name in names if f"a{name}" in names}
    twins = {f"a{name}" for name in operations}
    assert names - operations - twins - alone == set()


def test_nothing_of_djangos_is_left_to_its_slow_default():
    inherited = {
        name
        for name in public(BaseCache)
        if getattr(RedisCache, name) is getattr(BaseCache, name, None)
    }
    assert inherited == {
        "make_key",
        "make_and_validate_key",
        "validate_key",
        "get_backend_timeout",
    }


def test_the_policy_names_operations_that_exist():
    assert {name for name in ANSWERS if not hasattr(RedisCache, name)} == set()


def test_every_operation_on_the_server_is_in_the_policy():
    planned = set(RedisCache._planned)
    from_their_arguments = {
        "get",
        "get_many",
        "get_or_set",
        "hget",
        "set_many",
        "smismember",
        "zadd",
    }
    assert planned - set(ANSWERS) - from_their_arguments == set()
