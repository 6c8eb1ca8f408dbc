"""LOCATION and the options say which servers there are, and how they are used."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from django.test import override_settings

from redpony.conf import Misconfigured, examine, read_alias
from redpony.wire.config import (
    Cluster,
    Elsewhere,
    Remapped,
    Replicated,
    Secret,
    Sentinels,
    Tcp,
    Tls,
    Unix,
)

SENTINEL = "redis+sentinel://h1,h2:5000/main/3"
THEIRS = [("h1", 26379), ("h2", 5000)]


def read(location, **options):
    return read_alias("main", location, {"OPTIONS": options})


def refused(location, **options) -> str:
    with pytest.raises(Misconfigured) as caught:
        read(location, **options)
    return str(caught.value)


# -- a list -----------------------------------------------------------------


def test_one_server_has_no_topology():
    assert read("redis://a").topology is None
    assert read(["redis://a"]).topology is None


def test_a_list_is_a_primary_with_replicas():
    config = read("redis://a/1,redis://b/1,unix:///run/s?db=1")

    assert isinstance(config.topology, Replicated)
    assert [each.address for each in config.topology.nodes] == [
        Tcp("a", 6379),
        Tcp("b", 6379),
        Unix("/run/s"),
    ]
    assert config.topology.nodes[0] == config.link


def test_each_server_of_a_list_has_its_own_credentials():
    config = read("redis://:one@a,redis://me:three@b,redis://c", PASSWORD="two")

    assert [(each.username, each.password) for each in config.topology.nodes] == [
        (None, Secret("one")),
        ("me", Secret("three")),
        (None, Secret("two")),
    ]


def test_options_count_for_every_server_of_a_list():
    nodes = read("redis://a,redis://b", DEADLINE=0.1, POOL_SIZE=3).topology.nodes

    assert [(each.deadline, each.pool_size) for each in nodes] == [(0.1, 3)] * 2


def test_a_fault_of_any_server_of_a_list_is_reported():
    said = refused("redis://a,redis://b?decode_responses=1")

    assert 'CACHES["main"]["LOCATION"]: decode_responses' in said


def test_replicas_of_a_list_are_read_from_as_in_django():
    assert read("redis://a,redis://b").topology.read_from == "replica"
    primary = read("redis://a,redis://b", READ_FROM="primary").topology
    assert primary.read_from == "primary"


# -- sentinels --------------------------------------------------------------


def test_sentinels_know_where_the_servers_are():
    config = read(SENTINEL)

    assert (config.link.address, config.link.db) == (Elsewhere("main"), 3)
    assert isinstance(config.topology, Sentinels)
    assert config.topology.service == "main"
    assert [each.address for each in config.topology.sentinels] == [
        Tcp("h1", 26379),
        Tcp("h2", 5000),
    ]
    assert config.topology.read_from == "primary"


def test_credentials_in_the_url_are_the_servers():
    config = read("redis+sentinel://me:secret@h/main")
    (sentinel,) = config.topology.sentinels

    assert (config.link.username, config.link.password) == ("me", Secret("secret"))
    assert (sentinel.username, sentinel.password) == (None, None)


def test_sentinels_have_credentials_of_their_own():
    config = read(
        "redis+sentinel://h/main",
        PASSWORD="servers",
        SENTINEL_USERNAME="watch",
        SENTINEL_PASSWORD="sentinels",
    )
    (sentinel,) = config.topology.sentinels

    assert config.link.password == Secret("servers")
    assert (sentinel.username, sentinel.password) == ("watch", Secret("sentinels"))


def test_the_sentinels_credentials_may_stand_in_the_url():
    config = read(
        "redis+sentinel://h/main?sentinel_username=watch&sentinel_password=new",
        SENTINEL_PASSWORD="old",
    )
    (sentinel,) = config.topology.sentinels

    assert (sentinel.username, sentinel.password) == ("watch", Secret("new"))
    assert [each.option for each in config.notes] == ['OPTIONS["SENTINEL_PASSWORD"]']


def test_a_sentinels_user_needs_a_password():
    assert "names a user without a password. Name that too, SENTINEL_PASSWORD" in (
        refused("redis+sentinel://h/main", SENTINEL_USERNAME="watch")
    )


def test_times_and_names_count_for_sentinels_too():
    config = read(
        SENTINEL,
        DEADLINE=0.1,
        CONNECT_TIMEOUT=0.2,
        CLIENT_NAME="web",
        PROTOCOL=2,
        KEEPALIVE=False,
        BREAKER={"FAILURES": 9},
    )

    for link in (config.link, *config.topology.sentinels):
        assert (link.deadline, link.connect_timeout) == (0.1, 0.2)
        assert (link.client_name, link.protocol) == ("web", 2)
        assert (link.keepalive, link.breaker_failures) == (False, 9)
    assert config.topology.sentinels[0].db == 0


SERVERS_CA = Tls(ca_file="/servers")


@pytest.mark.parametrize(
    ("scheme", "options", "servers", "sentinels"),
    [
        ("redis", {}, None, None),
        ("rediss", {}, Tls(), Tls()),
        ("rediss", {"TLS": {"CA_FILE": "/servers"}}, SERVERS_CA, SERVERS_CA),
        (
            "rediss",
            {"TLS": {"CA_FILE": "/servers"}, "SENTINEL_TLS": True},
            SERVERS_CA,
            SERVERS_CA,
        ),
        (
            "rediss",
            {"TLS": {"CA_FILE": "/servers"}, "SENTINEL_TLS": False},
            SERVERS_CA,
            None,
        ),
        (
            "rediss",
            {"TLS": {"CA_FILE": "/servers"}, "SENTINEL_TLS": {"VERIFY": False}},
            SERVERS_CA,
            Tls(verify=False, check_hostname=False),
        ),
        ("redis", {"SENTINEL_TLS": True}, None, Tls()),
        ("redis", {"SENTINEL_TLS": {"CA_FILE": "/o"}}, None, Tls(ca_file="/o")),
        ("redis", {"SENTINEL_TLS": {}}, None, Tls()),
    ],
)
def test_tls_is_for_servers_and_sentinels_unless_they_differ(
    scheme, options, servers, sentinels
):
    config = read(f"{scheme}+sentinel://h/main", **options)

    assert config.link.tls == servers
    assert [each.tls for each in config.topology.sentinels] == [sentinels]


def test_a_bad_entry_for_the_sentinels_tls_is_named():
    options = {"SENTINEL_TLS": {"CA_FIEL": "/ca"}}

    assert (
        'CACHES["main"]["OPTIONS"]["SENTINEL_TLS"]["CA_FIEL"]: '
        'OPTIONS["SENTINEL_TLS"] has no such option. Did you mean "CA_FILE"?'
    ) in refused(SENTINEL, **options)


@pytest.mark.parametrize("value", ["yes", 1, ["/ca"]])
def test_the_sentinels_tls_is_a_switch_or_a_dict(value):
    assert "takes True, False, or a dict of options by name" in refused(
        SENTINEL, SENTINEL_TLS=value
    )


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"SENTINEL_PASSWORD": "x"}, '["SENTINEL_PASSWORD"]'),
        ({"SENTINEL_TLS": {"CA_FILE": "/ca"}}, '["SENTINEL_TLS"]["CA_FILE"]'),
        ({"SENTINEL_TLS": False}, '["SENTINEL_TLS"]'),
        ({"SENTINEL_KWARGS": {"password": "x"}}, '["SENTINEL_KWARGS"]["password"]'),
        ({"SENTINEL_KWARGS": {"ssl": True}}, '["SENTINEL_KWARGS"]["ssl"]'),
    ],
)
def test_options_for_sentinels_need_sentinels(scheme, options, label):
    assert (
        f'CACHES["main"]["OPTIONS"]{label}: is for sentinels, and LOCATION names none'
    ) in refused(f"{scheme}://h", **options)


@override_settings(DEBUG=True, BASE_DIR=Path("/srv/shop"))
def test_the_embedded_server_has_no_sentinels_and_no_replicas():
    assert "is for sentinels" in refused("embedded://", SENTINEL_PASSWORD="x")
    assert "is for sentinels" in refused("embedded://", SENTINELS=THEIRS)
    (note,) = read("embedded://", READ_FROM="replica").notes
    assert str(note) == 'OPTIONS["READ_FROM"]: LOCATION names one server'


def test_an_empty_password_for_sentinels_is_none():
    assert read("redis://h", SENTINEL_PASSWORD="").topology is None
    config = read(SENTINEL, SENTINEL_PASSWORD=None)
    assert config.topology.sentinels[0].password is None


# -- as django-redis has them -----------------------------------------------


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


# -- a cluster --------------------------------------------------------------


def test_a_cluster_is_known_by_some_of_its_nodes():
    config = read("rediss+cluster://me:x@h1:7000,h2:7001", TLS={"CA_FILE": "/ca"})

    assert isinstance(config.topology, Cluster)
    assert config.topology.seeds == (Tcp("h1", 7000), Tcp("h2", 7001))
    assert config.topology.read_from == "primary"
    assert (config.link.address, config.link.db) == (Tcp("h1", 7000), 0)
    assert (config.link.username, config.link.tls) == ("me", Tls(ca_file="/ca"))


@pytest.mark.parametrize(
    "options", [{"DB": 1}, {"db": 1}, {"CONNECTION_POOL_KWARGS": {"db": 1}}]
)
def test_a_cluster_has_no_second_database(options):
    assert "a cluster has database 0 alone" in refused("redis+cluster://h", **options)
    assert read("redis+cluster://h", DB=0).link.db == 0


def test_clients_for_clusters_are_no_fault_beside_our_url():
    config = read("redis+cluster://h", REDIS_CLIENT_CLASS="redis.cluster.RedisCluster")

    assert [each.reason for each in config.notes] == ["Redpony knows clusters itself"]


# -- what they have in common -----------------------------------------------

SEVERAL = ["redis://a,redis://b", SENTINEL, "redis+cluster://h"]


@pytest.mark.parametrize("location", SEVERAL)
def test_the_policy_of_reading_and_looking_is_read(location):
    topology = read(
        location, READ_FROM="replica", READ_YOUR_WRITES=0.5, TOPOLOGY_REFRESH=10
    ).topology

    assert (topology.read_from, topology.read_your_writes) == ("replica", 0.5)
    assert topology.refresh == 10.0


@pytest.mark.parametrize("location", SEVERAL)
def test_its_defaults_are_those_of_the_documentation(location):
    topology = read(location).topology

    assert (topology.read_your_writes, topology.refresh) == (1.0, 60.0)
    assert topology.remap is None


@pytest.mark.parametrize("location", SEVERAL[1:])
def test_the_url_may_say_what_is_read_from(location):
    mark = "&" if "?" in location else "?"
    topology = read(f"{location}{mark}read_from=replica", READ_FROM="primary").topology

    assert topology.read_from == "replica"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("READ_FROM", "replicas", 'takes "primary" or "replica". Did you mean'),
        ("READ_FROM", None, 'takes "primary" or "replica"'),
        ("READ_YOUR_WRITES", -1, "a number of seconds, or 0 to switch it off"),
        ("READ_YOUR_WRITES", "1", "a number of seconds, or 0 to switch it off"),
        ("READ_YOUR_WRITES", True, "a number of seconds, or 0 to switch it off"),
        ("READ_YOUR_WRITES", float("inf"), "a number of seconds, or 0"),
        ("TOPOLOGY_REFRESH", 0, "a number of seconds, more than 0"),
        ("ADDRESS_REMAP", 5, "takes a callable, or the dotted path of one"),
        ("ADDRESS_REMAP", "shop.nowhere.remap", "cannot be imported"),
        ("ADDRESS_REMAP", {"h:port": "g"}, "takes a dict such as"),
        ("ADDRESS_REMAP", {"h": "g:70000"}, "takes a dict such as"),
        ("ADDRESS_REMAP", {"h": 5}, "takes a dict such as"),
        ("ADDRESS_REMAP", {"a:1:2": "g"}, "takes a dict such as"),
        ("ADDRESS_REMAP", {"redis://h": "g"}, "takes a dict such as"),
        ("ADDRESS_REMAP", {("h", 1, 2): "g"}, "takes a dict such as"),
        ("ADDRESS_REMAP", lambda address: address, "turns (host, port) into"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_option(option, value, said):
    text = refused(SENTINEL, **{option: value})

    assert text.startswith(f'CACHES["main"]["OPTIONS"]["{option}"]: ')
    assert said in text


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("READ_FROM", "primary"),
        ("READ_FROM", "replica"),
        ("READ_YOUR_WRITES", 2),
        ("ADDRESS_REMAP", {"h": "g"}),
        ("TOPOLOGY_REFRESH", 5),
    ],
)
def test_on_one_server_it_is_said_to_have_no_effect(option, value):
    (note,) = read("redis://h", **{option: value}).notes

    assert str(note) == f'OPTIONS["{option}"]: LOCATION names one server'


def test_a_list_names_servers_as_they_are_reached():
    config = read("redis://a,redis://b", ADDRESS_REMAP={"a": "b"})

    assert config.topology.remap is None
    assert [each.option for each in config.notes] == ['OPTIONS["ADDRESS_REMAP"]']


def test_an_option_is_listed_with_one_verdict():
    for location in ("redis://h", SENTINEL, "redis+cluster://h"):
        examined = examine(
            "main",
            location,
            {"OPTIONS": {"READ_FROM": "replica", "SENTINEL_PASSWORD": "x"}},
        )
        places = [each.where for each in examined.treatments]

        assert len(places) == len(set(places)) > 1


# -- NAT --------------------------------------------------------------------


def remap(host, port):
    return "gateway", port + 1


@pytest.mark.parametrize("given", [remap, f"{__name__}.remap"])
def test_addresses_may_be_remapped_by_a_function(given):
    assert read(SENTINEL, ADDRESS_REMAP=given).topology.remap is remap


@pytest.mark.parametrize(
    ("given", "announced", "reached"),
    [
        ({"10.0.0.1:6379": "127.0.0.1:7000"}, ("10.0.0.1", 6379), ("127.0.0.1", 7000)),
        ({"10.0.0.1:6379": "127.0.0.1:7000"}, ("10.0.0.1", 6380), ("10.0.0.1", 6380)),
        ({"10.0.0.1:6379": "gate"}, ("10.0.0.1", 6379), ("gate", 6379)),
        ({"10.0.0.1": "gate"}, ("10.0.0.1", 7001), ("gate", 7001)),
        ({"10.0.0.1": "gate:1"}, ("10.0.0.1", 7001), ("gate", 1)),
        ({"10.0.0.1": "a", "10.0.0.1:5": "b"}, ("10.0.0.1", 5), ("b", 5)),
        ({"[::1]:5": "[::2]:6"}, ("::1", 5), ("::2", 6)),
        ({("10.0.0.1", 5): ("gate", "6")}, ("10.0.0.1", 5), ("gate", 6)),
    ],
)
def test_addresses_may_be_remapped_by_a_dict(given, announced, reached):
    found = read("redis+cluster://h", ADDRESS_REMAP=given).topology.remap

    assert isinstance(found, Remapped)
    assert found(*announced) == reached


def test_an_empty_remap_is_none():
    assert read(SENTINEL, ADDRESS_REMAP={}).topology.remap is None
    assert read(SENTINEL, ADDRESS_REMAP=None).topology.remap is None


def test_equal_topologies_compare_and_hash_equal():
    options = {"ADDRESS_REMAP": {"10.0.0.1": "gate"}, "SENTINEL_PASSWORD": "x"}
    one, two = (
        read(SENTINEL, **options),
        read(SENTINEL, **pickle.loads(pickle.dumps(options))),
    )

    assert one.topology == two.topology
    assert hash((one.link, one.topology)) == hash((two.link, two.topology))
    assert one.topology != read(SENTINEL, READ_FROM="replica", **options).topology


def test_a_topology_shows_no_secret():
    config = read(
        "redis+sentinel://me:hunter2@h/main?sentinel_password=hunter2",
        SENTINEL_TLS={"KEY_PASSWORD": "hunter2"},
    )

    assert "hunter2" not in repr(config)
