"""LOCATION: one server, the project's own, or a name in the environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.test import override_settings
from django.test.utils import setup_test_environment, teardown_test_environment

from redpony.conf import Misconfigured, project_directory, read_alias
from redpony.embedded import Embedded
from redpony.wire.config import Secret, Tcp


def read(location, **options):
    return read_alias("main", location, {"OPTIONS": options})


def test_no_location_names_the_first_two_to_try():
    for missing in ("", None, []):
        with pytest.raises(Misconfigured) as caught:
            read(missing)
        assert str(caught.value) == (
            'CACHES["main"]["LOCATION"]: it is missing; write embedded:// or '
            "redis://127.0.0.1:6379/1"
        )


@pytest.mark.parametrize(
    "location",
    [
        "redis://a/1,redis://b/2,redis://c",
        "redis://a/1; redis://b/2; redis://c",
        ["redis://a/1", "redis://b/2", "redis://c"],
        ("redis://a/1", "redis://b/2,redis://c"),
    ],
)
def test_a_list_is_primary_first_and_then_replicas(location):
    config = read(location)

    assert (config.link.address, config.link.db) == (Tcp("a", 6379), 1)
    assert [(each.address, each.db) for each in config.topology.nodes] == [
        (Tcp("a", 6379), 1),
        (Tcp("b", 6379), 2),
        (Tcp("c", 6379), 0),
    ]


def test_a_set_of_one_is_that_one():
    assert read({"redis://a"}).link.address == Tcp("a", 6379)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("redis://a,,redis://b", "remove the comma"),
        ("redis://a,", "remove the comma"),
        ("redis://a,b:6379", "not every part is a URL"),
        ("redis://a,redis://a:6379/0", "stands there twice"),
        ("redis://a/1,redis://a/2", "stands there twice"),
        ("redis://a,embedded://", "embedded:// stands in a list"),
        ("embedded://,embedded://", "embedded:// stands in a list"),
        (["redis://a", "redis+sentinel://b,c/main"], "so it stands alone"),
        (["redis+cluster://a,b", "redis+cluster://c"], "so it stands alone"),
        ("redis://a,redis+cluster://b", "so it stands alone"),
        (["redis://a", ""], "there is no scheme"),
        (["redis://a", 6379], "must be a URL, as text"),
        ({"redis://a", "redis://b"}, "a set has no order"),
        (6379, "of the type int"),
        ({"host": "a"}, "of the type dict"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(location, said):
    with pytest.raises(Misconfigured) as caught:
        read(location)

    assert said in str(caught.value)
    assert 'CACHES["main"]["LOCATION"]' in str(caught.value)


def test_a_url_may_stand_in_the_environment(monkeypatch):
    monkeypatch.setenv("SHOP_REDIS", "redis://:secret@a/3")
    link = read("env://SHOP_REDIS").link

    assert (link.address, link.db, link.password) == (
        Tcp("a", 6379),
        3,
        Secret("secret"),
    )


def test_the_environment_may_hold_a_list(monkeypatch):
    monkeypatch.setenv("SHOP_REDIS", "redis://a,redis://b")

    assert len(read("env://SHOP_REDIS").topology.nodes) == 2


@pytest.mark.parametrize(
    "url", ["redis+sentinel://a,b/main/1", "redis+cluster://a,b", "REDIS+CLUSTER://a,b"]
)
def test_the_environment_may_hold_sentinels_or_a_cluster(monkeypatch, url):
    monkeypatch.setenv("SHOP_REDIS", url)

    assert read("env://SHOP_REDIS") == read(url)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_not_set_is_named(monkeypatch, value):
    monkeypatch.delenv("SHOP_REDIS", raising=False)
    if value is not None:
        monkeypatch.setenv("SHOP_REDIS", value)

    with pytest.raises(Misconfigured, match='variable "SHOP_REDIS" is not set'):
        read("env://SHOP_REDIS")


def test_a_variable_cannot_name_another(monkeypatch):
    monkeypatch.setenv("SHOP_REDIS", "env://SHOP_REDIS")

    with pytest.raises(Misconfigured, match="names another one"):
        read("env://SHOP_REDIS")


def test_a_variable_needs_a_name():
    with pytest.raises(Misconfigured, match="takes the name of an environment"):
        read("env://")


# -- embedded ---------------------------------------------------------------


@override_settings(DEBUG=True, BASE_DIR=Path("/srv/shop"))
def test_the_embedded_server_belongs_to_the_project():
    link = read("embedded://?persist=1&db=2").link

    assert link.address == Embedded(directory="/srv/shop", persist=True)
    assert link.db == 2


@override_settings(DEBUG=True, BASE_DIR=Path("/srv/shop"))
def test_the_embedded_server_may_belong_to_another_directory():
    assert read("embedded:///srv/other").link.address == Embedded("/srv/other")


@override_settings(DEBUG=True)
def test_the_embedded_server_needs_neither_password_nor_tls():
    config = read("embedded://", PASSWORD="secret", TLS={"CA_FILE": "/ca"})

    assert (config.link.password, config.link.tls) == (None, None)
    assert [each.option for each in config.notes] == [
        'OPTIONS["PASSWORD"]',
        'OPTIONS["TLS"]["CA_FILE"]',
    ]


@override_settings(DEBUG=False)
def test_without_debug_the_embedded_server_must_be_asked_for():
    with pytest.raises(Misconfigured) as caught:
        read("embedded://")

    assert "embedded://?production=1" in str(caught.value)
    assert caught.value.problems[0].kind == "embedded"


@override_settings(DEBUG=False)
def test_asked_for_it_serves_without_debug():
    assert isinstance(read("embedded://?production=1").link.address, Embedded)


def test_a_projects_tests_may_use_it_though_django_sets_debug_to_false():
    setup_test_environment(debug=False)
    try:
        assert isinstance(read("embedded://").link.address, Embedded)
    finally:
        teardown_test_environment()


def test_without_base_dir_the_settings_module_tells_the_project(monkeypatch, tmp_path):
    (tmp_path / "shopsite").mkdir()
    (tmp_path / "shopsite" / "__init__.py").touch()
    (tmp_path / "shopsite" / "settings.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shopsite.settings")
    monkeypatch.delitem(sys.modules, "shopsite", raising=False)

    assert project_directory() == str(tmp_path)


def test_without_either_it_is_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.chdir(tmp_path)

    assert project_directory() == str(tmp_path)


# -- hints ------------------------------------------------------------------


@override_settings(DEBUG=True)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_under_debug_a_local_server_that_is_missing_suggests_the_embedded_one(host):
    assert "embedded://" in read(f"redis://{host}").link.hint


@override_settings(DEBUG=True)
def test_a_remote_server_does_not():
    assert read("redis://example.com").link.hint == ""


@override_settings(DEBUG=False)
def test_nor_does_production():
    assert read("redis://127.0.0.1").link.hint == ""
