"""An alias is resolved once, and again when anything that it depends on changes."""

from __future__ import annotations

import pytest
from django.core.cache import caches
from django.test import override_settings

from redpony.conf import Misconfigured, alias_config, memo, read_alias
from redpony.wire.config import Tcp


@pytest.fixture
def resolved(monkeypatch):
    """Count how often settings are looked through."""
    calls = []

    def counting(*args):
        calls.append(args)
        return examine(*args)

    examine = memo.examine
    monkeypatch.setattr(memo, "examine", counting)
    memo._forget()
    yield calls
    memo._forget()


def params(**options):
    return {"KEY_PREFIX": "shop", "OPTIONS": {"BREAKER": {"FAILURES": 3}, **options}}


def test_equal_settings_are_looked_through_once(resolved):
    first = read_alias("main", "redis://a", params())
    again = read_alias("main", "redis://a", params())

    assert again is first
    assert len(resolved) == 1


def test_another_option_is_another_configuration(resolved):
    first = read_alias("main", "redis://a", params(DEADLINE=1))
    other = read_alias("main", "redis://a", params(DEADLINE=2))

    assert (first.link.deadline, other.link.deadline) == (1, 2)


def test_options_changed_in_place_are_seen(resolved):
    given = params(DEADLINE=1)
    read_alias("main", "redis://a", given)
    given["OPTIONS"]["BREAKER"]["FAILURES"] = 9

    assert read_alias("main", "redis://a", given).link.breaker_failures == 9


def test_a_list_changed_in_place_is_seen(resolved):
    location = ["redis://a"]
    read_alias("main", location, params())
    location[0] = "redis://b"

    assert read_alias("main", location, params()).link.address == Tcp("b", 6379)


def test_a_changed_variable_of_the_environment_is_seen(resolved, monkeypatch):
    monkeypatch.setenv("SHOP_REDIS", "redis://a")
    read_alias("main", "env://SHOP_REDIS", params())
    monkeypatch.setenv("SHOP_REDIS", "redis://b")

    config = read_alias("main", "env://SHOP_REDIS", params())
    assert config.link.address == Tcp("b", 6379)


def test_an_unchanged_variable_costs_no_second_look(resolved, monkeypatch):
    monkeypatch.setenv("SHOP_REDIS", "redis://a")
    for _ in range(3):
        read_alias("main", ["env://SHOP_REDIS"], params())

    assert len(resolved) == 1


def test_overridden_settings_are_seen(resolved):
    before = read_alias("main", "redis://a", params()).codec.seal_keys
    with override_settings(SECRET_KEY="another"):
        within = read_alias("main", "redis://a", params()).codec.seal_keys
    after = read_alias("main", "redis://a", params()).codec.seal_keys

    assert within == (b"another",)
    assert after == before != within


def test_an_error_is_not_remembered(resolved):
    for _ in range(2):
        with pytest.raises(Misconfigured):
            read_alias("main", "redis://a", params(DEADLINE="soon"))

    assert len(resolved) == 2


def test_what_is_kept_is_bounded(resolved):
    for number in range(100):
        read_alias("main", f"redis://a/{number}", params())

    assert len(memo._known["main"]) == 16


TWO = {
    "default": {"BACKEND": "redpony.cache.RedisCache", "LOCATION": "redis://a"},
    "pages": {
        "BACKEND": "redpony.cache.RedisCache",
        "LOCATION": "redis://a",
        "KEY_PREFIX": "pages",
        "OPTIONS": {"DEADLINE": 1},
    },
}


@override_settings(CACHES=TWO)
def test_a_backend_that_django_makes_knows_its_alias(resolved):
    caches["pages"].close()
    caches["default"].close()

    assert [args[0] for args in resolved] == ["pages", "default"]


@override_settings(CACHES=TWO)
def test_settings_of_no_alias_have_no_name(resolved):
    assert read_alias(None, "redis://b", {}).alias == ""


@override_settings(CACHES=TWO)
def test_an_alias_is_read_by_its_name():
    config = alias_config("pages")

    assert (config.alias, config.key_prefix, config.link.deadline) == (
        "pages",
        "pages",
        1,
    )


@override_settings(CACHES=TWO)
def test_an_alias_that_does_not_exist_names_the_nearest():
    with pytest.raises(Misconfigured, match='no alias "page". Did you mean "pages"'):
        alias_config("page")


@override_settings(CACHES=TWO)
def test_a_configuration_can_be_a_key():
    assert len({alias_config("pages"), alias_config("default")}) == 2
