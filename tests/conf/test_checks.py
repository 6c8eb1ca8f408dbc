"""System checks name what is wrong and what is unwise, without asking a server."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from django.core import checks
from django.test import override_settings

from redpony.checks import _ERRORS, _WARNINGS, check_deployment, check_settings


def ours(location, **params):
    return {"BACKEND": "redpony.cache.RedisCache", "LOCATION": location, **params}


def found(check=check_settings, **caches) -> list[tuple[str, str]]:
    """Return (alias, id) of what a check reports for these aliases."""
    with override_settings(CACHES={"default": ours("redis://127.0.0.1"), **caches}):
        return [
            (message.msg.partition('"')[2].partition('"')[0], message.id)
            for message in check()
        ]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a system check asked for a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_settings_that_are_fine_are_fine():
    assert found() == []
    assert found(check_deployment) == []


@pytest.mark.parametrize(
    ("alias", "id"),
    [
        (ours("redis://:x"), "redpony.E001"),
        (ours("env://REDPONY_UNSET"), "redpony.E001"),
        (ours("redis://h", OPTIONS={"DEADLIN": 1}), "redpony.E002"),
        (ours("redis://h", OPTIONS={"POOL_SIZE": 0}), "redpony.E005"),
        (ours("redis://h", OPTIONS={"NEAR": {}}), "redpony.E006"),
        (ours("embedded://"), "redpony.E007"),
    ],
)
def test_an_error_names_the_alias(alias, id):
    assert found(bad=alias) == [("bad", id)]


def test_a_missing_library_is_an_error(monkeypatch):
    monkeypatch.setattr("redpony.conf.paths._present", lambda name: False)

    assert found(bad=ours("redis://h", OPTIONS={"COMPRESSOR": "lz4"})) == [
        ("bad", "redpony.E003")
    ]


def test_every_fault_is_reported():
    alias = ours("redis://:x", OPTIONS={"DEADLIN": 1, "POOL_SIZE": 0})

    assert found(bad=alias) == [
        ("bad", "redpony.E002"),
        ("bad", "redpony.E005"),
        ("bad", "redpony.E001"),
    ]


REMOTE = "rediss://:secret@cache.example.com"


@pytest.mark.parametrize(
    ("alias", "ids"),
    [
        (ours("redis://cache.example.com"), {"W002", "W005"}),
        (ours("redis://10.0.0.7", OPTIONS={"PASSWORD": "secret"}), {"W002"}),
        (ours("rediss://10.0.0.7"), {"W005"}),
        (ours("rediss://10.0.0.7", OPTIONS={"PASSWORD": "secret"}), set()),
        (
            ours(
                "rediss://10.0.0.7",
                OPTIONS={"TLS": {"CERT_FILE": "/c", "KEY_FILE": "/k"}},
            ),
            set(),
        ),
        (
            ours(
                "rediss://10.0.0.7?ssl_cert_reqs=none", OPTIONS={"PASSWORD": "secret"}
            ),
            {"W003"},
        ),
        (ours(REMOTE), {"W012"}),
        (ours("redis://127.0.0.1/1?password=secret"), {"W012"}),
        (ours("redis://127.0.0.1/1"), set()),
        (ours("redis://localhost/1"), set()),
        (ours("redis://[::1]/1"), set()),
        (ours("unix:///run/redis.sock"), set()),
        (ours("embedded://?production=1"), set()),
        (ours("redis://127.0.0.1/1", OPTIONS={"FORMAT": "django_redis"}), {"W004"}),
        (
            ours("redis://127.0.0.1/1", OPTIONS={"READ_FORMATS": ["sealed", "django"]}),
            {"W004"},
        ),
        (
            ours(
                "redis://127.0.0.1/1",
                OPTIONS={"FORMAT": "django_redis", "SERIALIZER": "json"},
            ),
            set(),
        ),
    ],
)
def test_what_is_unwise_in_production_is_a_warning_of_deployment(alias, ids):
    assert found(unwise=alias) == []
    assert found(check_deployment, unwise=alias) == [
        ("unwise", f"redpony.{id}") for id in sorted(ids)
    ]


@override_settings(DEBUG=True)
def test_the_embedded_server_under_debug_is_a_warning_of_deployment():
    assert found(unwise=ours("embedded://")) == []
    assert found(check_deployment, unwise=ours("embedded://")) == [
        ("unwise", "redpony.W001")
    ]


def test_a_password_from_the_environment_does_not_stand_in_location(monkeypatch):
    monkeypatch.setenv("SHOP_REDIS", REMOTE)

    assert found(check_deployment, fine=ours("env://SHOP_REDIS")) == []


@pytest.mark.parametrize(
    ("alias", "ids"),
    [
        (ours("redis://127.0.0.1"), ["redpony.W007"]),
        (ours("redis://localhost:6379/0", VERSION=2), ["redpony.W007"]),
        (ours("redis://127.0.0.1", KEY_PREFIX="pages"), []),
        (
            ours("redis://127.0.0.1", KEY_PREFIX="pages", OPTIONS={"CLEAR": "flushdb"}),
            ["redpony.W007"],
        ),
        (ours("redis://127.0.0.1/1"), []),
        (ours("redis://127.0.0.1:6380"), []),
        (ours("redis://127.0.0.1:6380,redis://127.0.0.1"), ["redpony.W007"]),
        (ours("redis://127.0.0.1:6380,redis://127.0.0.1/1"), []),
        (ours("redis+cluster://127.0.0.1:7000,localhost"), ["redpony.W007"]),
        (ours("redis+sentinel://127.0.0.1:6379/main"), []),
    ],
)
def test_two_aliases_that_empty_each_other_are_a_warning(alias, ids):
    assert [id for _, id in found(other=alias)] == ids


@pytest.mark.parametrize(
    ("one", "other", "ids"),
    [
        ("h1,h2/main", "h2/main", ["redpony.W007"]),
        ("h1,h2/main", "h2/main/1", []),
        ("h1,h2/main", "h2/other", []),
        ("h1/main", "h2/main", []),
    ],
)
def test_a_service_is_told_from_another_by_its_sentinels(one, other, ids):
    aliases = {
        "one": ours(f"redis+sentinel://{one}"),
        "other": ours(f"redis+sentinel://{other}"),
    }

    assert [id for _, id in found(**aliases)] == ids


THREE = "10.0.0.1,10.0.0.2,10.0.0.3"


@pytest.mark.parametrize(
    ("location", "options", "ids"),
    [
        (f"redis+sentinel://{THREE}/main", {}, ["W002", "W005"]),
        (f"redis+sentinel://{THREE}/main", {"PASSWORD": "x"}, ["W002"]),
        (f"rediss+sentinel://{THREE}/main", {"PASSWORD": "x"}, ["W005"]),
        (
            f"rediss+sentinel://{THREE}/main",
            {"PASSWORD": "x", "SENTINEL_PASSWORD": "y"},
            [],
        ),
        (
            f"rediss+sentinel://{THREE}/main",
            {"PASSWORD": "x", "SENTINEL_PASSWORD": "y", "SENTINEL_TLS": False},
            ["W002"],
        ),
        (
            f"rediss+sentinel://{THREE}/main",
            {
                "PASSWORD": "x",
                "SENTINEL_PASSWORD": "y",
                "SENTINEL_TLS": {"VERIFY": False},
            },
            ["W003"],
        ),
        (f"rediss+sentinel://:x@{THREE}/main?sentinel_password=y", {}, ["W012"]),
        (
            "rediss+sentinel://127.0.0.1,127.0.0.1:5,127.0.0.1:6/m?sentinel_password=y",
            {},
            ["W012"],
        ),
        ("redis+sentinel://127.0.0.1/main", {}, ["W014"]),
        ("redis+sentinel://127.0.0.1,localhost/main", {}, ["W014"]),
        ("redis+sentinel://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/main", {}, []),
        ("redis+cluster://10.0.0.1,10.0.0.2", {"PASSWORD": "x"}, ["W002"]),
        ("redis+cluster://127.0.0.1:7000,10.0.0.2", {"PASSWORD": "x"}, ["W002"]),
        ("rediss+cluster://10.0.0.1", {"PASSWORD": "x"}, []),
        ("redis+cluster://127.0.0.1:7000", {}, []),
        ("redis://127.0.0.1:1,redis://10.0.0.2", {"PASSWORD": "x"}, ["W002"]),
        ("redis://127.0.0.1:1,redis://127.0.0.1:2", {}, []),
    ],
)
def test_what_is_unwise_of_several_servers_is_said_once(location, options, ids):
    alias = ours(location, OPTIONS=options)

    assert found(unwise=alias) == []
    assert found(check_deployment, unwise=alias) == [
        ("unwise", f"redpony.{id}") for id in ids
    ]


REPLICAS = "redis://127.0.0.1,redis://127.0.0.1:6380"


@pytest.mark.parametrize(
    ("alias", "engine", "ids"),
    [
        (ours(REPLICAS), "django.contrib.sessions.backends.cache", ["redpony.W013"]),
        (ours(REPLICAS), "redpony.sessions", ["redpony.W013"]),
        (ours(REPLICAS), "django.contrib.sessions.backends.db", []),
        (
            ours(REPLICAS, OPTIONS={"READ_FROM": "primary"}),
            "django.contrib.sessions.backends.cache",
            [],
        ),
        (
            ours("redis+cluster://127.0.0.1", OPTIONS={"READ_FROM": "replica"}),
            "django.contrib.sessions.backends.cache",
            ["redpony.W013"],
        ),
    ],
)
def test_sessions_that_are_read_from_replicas_are_a_warning(alias, engine, ids):
    with override_settings(SESSION_ENGINE=engine, SESSION_CACHE_ALIAS="unwise"):
        assert [id for _, id in found(check_deployment, unwise=alias)] == ids


def test_an_alias_without_prefix_beside_another_is_a_warning_of_deployment():
    other = ours("redis://127.0.0.1", KEY_PREFIX="pages")

    assert found(check_deployment, other=other) == [("default", "redpony.W008")]


@override_settings(CELERY_BROKER_URL="redis://localhost:6379/0")
def test_an_alias_without_prefix_beside_celery_is_one_too():
    assert found(check_deployment) == [("default", "redpony.W008")]


@override_settings(CELERY_RESULT_BACKEND="redis://localhost:6379/5")
def test_an_alias_that_would_empty_celerys_database_is_a_warning():
    flush = ours("redis://127.0.0.1/5", KEY_PREFIX="x", OPTIONS={"CLEAR": "flushdb"})

    assert found(bad=flush) == [("bad", "redpony.W007")]


def test_other_backends_are_none_of_our_business():
    other = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "nonsense",
        "OPTIONS": {"NONSENSE": 1},
    }

    assert found(other=other) == []


def test_a_subclass_of_the_backend_is_ours():
    alias = {**ours("redis://:x"), "BACKEND": f"{__name__}.OwnCache"}

    assert found(bad=alias) == [("bad", "redpony.E001")]


def __getattr__(name):
    if name == "OwnCache":
        from redpony.cache import RedisCache

        return type("OwnCache", (RedisCache,), {})
    raise AttributeError(name)


def test_no_message_holds_a_secret():
    aliases = {
        "default": ours("redis://:hunter2@example.com"),
        "one": ours("redis://:hunter2@example.com:x"),
        "two": ours("rediss://h", OPTIONS={"PASSWORD": "hunter2", "NEAR": "hunter2"}),
        "three": ours("redis://h", OPTIONS={"PASSWORD": ["hunter2"]}),
        "five": ours("redis+sentinel://10.0.0.1/s?sentinel_password=hunter2"),
        "six": ours("redis+cluster://u:hunter2@10.0.0.1,10.0.0.2"),
        "seven": ours(
            "redis://10.0.0.1",
            OPTIONS={"SENTINEL_PASSWORD": "hunter2", "SENTINELS": "hunter2"},
        ),
        "eight": ours(
            "redis+sentinel://10.0.0.1/s",
            OPTIONS={
                "SENTINEL_PASSWORD": ["hunter2"],
                "SENTINEL_KWARGS": {"password": 2, "pasword": "hunter2"},
                "SENTINEL_TLS": {"KEY_PASSWORD": ["hunter2"]},
            },
        ),
        "four": ours(
            "redis://h", OPTIONS={"TLS": {"KEY_PASSWORD": 2}, "TSL": "hunter2"}
        ),
    }
    with override_settings(CACHES=aliases):
        messages = [*check_settings(), *check_deployment()]

    assert messages
    assert not any("hunter2" in f"{each} {each.hint}" for each in messages)


def test_the_application_registers_them_under_caches():
    registry = checks.registry.registry

    assert check_settings in registry.registered_checks
    assert check_deployment in registry.deployment_checks
    assert checks.Tags.caches in check_settings.tags
    assert checks.Tags.caches in check_deployment.tags


def test_the_page_on_errors_lists_every_id():
    page = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
    listed = re.findall(r"^\| `(redpony\.\w\d+)` \|", page.read_text(), re.MULTILINE)

    assert listed == [*_ERRORS.values(), *sorted(_WARNINGS.values())]
