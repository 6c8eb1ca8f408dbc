"""django-redis' settings for Sentinel are understood as they stand."""

from __future__ import annotations

import pytest
from django.test import override_settings

from redpony.conf import Misconfigured, read_alias
from redpony.wire.config import Secret, Sentinels, Tcp, Tls

SENTINEL = "redis+sentinel://h1,h2:5000/main/3"
THEIRS = [("h1", 26379), ("h2", 5000)]


def read(location, **options):
    return read_alias("main", location, {"OPTIONS": options})


def refused(location, **options) -> str:
    with pytest.raises(Misconfigured) as caught:
        read(location, **options)
    return str(caught.value)


def test_a_service_in_the_hosts_place_beside_sentinels_is_the_same_as_our_url():
    theirs = read("redis://main/3", SENTINELS=THEIRS)

    assert (theirs.link, theirs.topology) == (
        read(SENTINEL).link,
        read(SENTINEL).topology,
    )


def test_a_services_name_is_lower_case_as_the_host_of_a_url():
    """django-redis reads it so; a name in capitals never worked there."""
    assert read("redis://MAIN/0", SENTINELS=THEIRS).topology.service == "main"


@pytest.mark.parametrize(
    ("location", "options", "read_from"),
    [
        ("redis://main", {}, "primary"),
        ("redis://main?is_master=1", {}, "primary"),
        ("redis://main?is_master=0", {}, "replica"),
        (["redis://main?is_master=1", "redis://main?is_master=0"], {}, "replica"),
        ("redis://main/1,redis://main/1?is_master=0", {}, "replica"),
        (["redis://main", "redis://main"], {}, "primary"),
        (
            "redis://main",
            {"CLIENT_CLASS": "django_redis.client.SentinelClient"},
            "replica",
        ),
        (
            "redis://main",
            {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
            "primary",
        ),
        (
            "redis://main",
            {
                "CLIENT_CLASS": "django_redis.client.SentinelClient",
                "READ_FROM": "primary",
            },
            "primary",
        ),
    ],
)
def test_their_ways_of_asking_for_replicas_are_understood(location, options, read_from):
    assert read(location, SENTINELS=THEIRS, **options).topology.read_from == read_from


def test_all_that_their_documentation_sets_is_accepted():
    with override_settings(
        DJANGO_REDIS_CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory"
    ):
        config = read(
            "redis://main/1",
            CLIENT_CLASS="django_redis.client.SentinelClient",
            SENTINELS=THEIRS,
            SENTINEL_KWARGS={"username": "watch", "password": "secret"},
            CONNECTION_POOL_CLASS="redis.sentinel.SentinelConnectionPool",
        )

    assert isinstance(config.topology, Sentinels)
    assert {each.reason for each in config.notes} == {
        "Redpony asks the sentinels itself"
    }


@override_settings(
    DJANGO_REDIS_CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory"
)
def test_their_factory_for_the_project_does_not_concern_aliases_without_sentinels():
    assert read("redis://h").topology is None


def test_arguments_for_sentinels_are_those_of_redis_py():
    config = read(
        "redis://main",
        SENTINELS=THEIRS,
        PASSWORD="servers",
        SENTINEL_KWARGS={
            "username": "watch",
            "password": "sentinels",
            "socket_timeout": 2,
            "socket_connect_timeout": 3,
            "socket_keepalive": False,
            "client_name": "looker",
            "protocol": 2,
            "ssl": True,
            "ssl_ca_certs": "/ca",
            "decode_responses": True,
            "db": 0,
        },
    )
    sentinel = config.topology.sentinels[1]

    assert (sentinel.username, sentinel.password) == ("watch", Secret("sentinels"))
    assert (sentinel.deadline, sentinel.connect_timeout) == (2.0, 3.0)
    assert (sentinel.keepalive, sentinel.client_name) == (False, "looker")
    assert (sentinel.protocol, sentinel.tls) == (2, Tls(ca_file="/ca"))
    assert (config.link.password, config.link.tls) == (Secret("servers"), None)
    assert config.link.deadline == 0.25


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pasword": "x"}, 'Did you mean "password"?'),
        ({"host": "h"}, "it stands in SENTINELS"),
        ({"db": 1}, "sentinels have no databases"),
        ({"serializer": "json"}, "has no such option"),
        ({"socket_timeout": "soon"}, "takes a number of seconds"),
        ({"ssl_ca_certs": "/ca"}, "the sentinels are asked in plain text"),
        ({"username": "watch"}, "names a user without a password"),
        ({"password": 5}, "It is of the type int"),
    ],
)
def test_a_bad_argument_for_sentinels_is_named(arguments, said):
    text = refused("redis://main", SENTINELS=THEIRS, SENTINEL_KWARGS=arguments)

    assert f'["OPTIONS"]["SENTINEL_KWARGS"]["{next(iter(arguments))}"]' in text
    assert said in text


def test_our_option_wins_over_their_argument():
    config = read(
        "redis://main",
        SENTINELS=THEIRS,
        SENTINEL_PASSWORD="ours",
        SENTINEL_KWARGS={"password": "theirs"},
    )

    assert config.topology.sentinels[0].password == Secret("ours")


@pytest.mark.parametrize(
    "value",
    [
        "h:26379",
        ["h:26379"],
        [("h",)],
        [("h", "port")],
        [("h", 0)],
        [("h", True)],
        [(5, 26379)],
        [("redis://h", 26379)],
        [],
        [("h", 26379), ("h", 26379)],
        {"h": 26379},
    ],
)
def test_sentinels_are_pairs_of_host_and_port(value):
    assert "takes a list of pairs of host and port" in refused(
        "redis://main", SENTINELS=value
    )


def test_a_sentinels_port_may_be_a_text_from_the_environment():
    sentinels = read("redis://main", SENTINELS=[["h", "26379"]]).topology.sentinels

    assert [each.address for each in sentinels] == [Tcp("h", 26379)]


@pytest.mark.parametrize(
    "location",
    [
        ["redis://one", "redis://two"],
        ["redis://main/1", "redis://main/2"],
        ["redis://:a@main", "redis://:b@main"],
        "unix:///run/s",
    ],
)
def test_beside_sentinels_location_names_one_service(location):
    assert "beside SENTINELS it names one service" in refused(
        location, SENTINELS=THEIRS
    )


def test_a_port_of_a_service_is_said_to_have_no_effect():
    (note,) = read("redis://main:7000", SENTINELS=THEIRS).notes

    assert str(note) == "LOCATION: port: the sentinels name the port"


@pytest.mark.parametrize(
    "location", ["redis://h?is_master=0", "redis://a,redis://b?is_master=0"]
)
def test_without_sentinels_nobody_is_asked_for_a_master(location):
    assert "is for a service that SENTINELS watch" in refused(location)


def test_sentinels_are_named_in_one_place():
    assert "leave one of them" in refused(SENTINEL, SENTINELS=THEIRS)
    assert "is for sentinels, and LOCATION names none" in refused(
        "redis+cluster://h", SENTINELS=THEIRS
    )


def test_their_classes_are_no_fault_beside_our_url():
    config = read(
        SENTINEL,
        CLIENT_CLASS="django_redis.client.SentinelClient",
        CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
    )

    assert isinstance(config.topology, Sentinels)
