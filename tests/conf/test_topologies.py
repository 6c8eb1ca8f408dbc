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
