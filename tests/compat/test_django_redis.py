"""What projects import from django_redis works on from its new place."""

from __future__ import annotations

import pytest
import redis
from django.test import override_settings

from redpony import get_redis
from redpony.compat import django_redis
from redpony.compat.django_redis import get_redis_connection
from redpony.compat.django_redis.exceptions import (
    CompressorError,
    ConnectionInterrupted,
)
from redpony.compat.django_redis.util import CacheKey, default_reverse_key
from redpony.conf import Misconfigured
from redpony.errors import RedponyError, Unavailable, Unreadable

LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


@pytest.fixture
def aliases(server):
    ours = {"BACKEND": "redpony.cache.RedisCache", "LOCATION": server.url()}
    bad = {**ours, "OPTIONS": {"DEADLIN": 1}}
    with override_settings(CACHES={"default": ours, "local": LOCMEM, "bad": bad}):
        yield


def test_the_connection_is_redis_pys_client(aliases, server):
    client = get_redis_connection()
    client.set("raw", b"1")

    assert type(client) is redis.Redis
    assert server.client().get("raw") == b"1"


def test_it_is_the_one_that_get_redis_gives(aliases):
    assert get_redis_connection("default", write=False) is get_redis("default")


def test_an_alias_that_is_not_in_redis_is_not_implemented(aliases):
    with pytest.raises(NotImplementedError, match='"local"'):
        get_redis_connection("local")


def test_an_alias_that_is_misconfigured_says_so(aliases):
    with pytest.raises(Misconfigured, match="DEADLINE"):
        get_redis_connection("bad")


def test_its_exceptions_are_ours():
    assert ConnectionInterrupted is Unavailable
    assert CompressorError is Unreadable
    assert issubclass(ConnectionInterrupted, RedponyError | redis.ConnectionError)


def test_its_functions_on_keys_are_here():
    assert default_reverse_key("shop:1:a:b") == "a:b"
    assert CacheKey("shop:1:a").original_key() == "a"


def test_it_says_which_release_it_stands_for():
    assert django_redis.VERSION == (7, 0, 0)
    assert django_redis.__version__ == "7.0.0"
