"""URLs of sentinels and of clusters name several hosts, and one of everything else."""

from __future__ import annotations

import pytest

from redpony.errors import InvalidSetting
from redpony.wire.config import Secret, Tcp
from redpony.wire.topology_url import ClusterUrl, SentinelUrl
from redpony.wire.url import parse


def sentinel(url: str) -> SentinelUrl:
    found = parse(url)
    assert isinstance(found, SentinelUrl)
    return found


def cluster(url: str) -> ClusterUrl:
    found = parse(url)
    assert isinstance(found, ClusterUrl)
    return found


def test_sentinels_are_named_with_their_service_and_its_database():
    found = sentinel("redis+sentinel://h1:26380,h2:26381/main/3")

    assert found.sentinels == (Tcp("h1", 26380), Tcp("h2", 26381))
    assert (found.service, found.db) == ("main", 3)


def test_a_sentinels_port_is_26379_unless_it_is_given():
    found = sentinel("redis+sentinel://h1,h2:5000,[2001:db8::1]/main")

    assert found.sentinels == (
        Tcp("h1", 26379),
        Tcp("h2", 5000),
        Tcp("2001:db8::1", 26379),
    )


@pytest.mark.parametrize("path", ["main", "main/"])
def test_the_database_of_a_service_may_be_left_open(path):
    assert sentinel(f"redis+sentinel://h/{path}").db is None


def test_the_database_of_a_service_may_stand_in_the_query():
    assert sentinel("redis+sentinel://h/main?db=4").db == 4


def test_a_services_name_keeps_its_case_and_is_percent_decoded():
    assert sentinel("redis+sentinel://h/My%2Dmain.1").service == "My-main.1"


def test_a_cluster_is_named_by_some_of_its_nodes():
    found = cluster("redis+cluster://h1:7000,h2,[::1]:7001")

    assert found.seeds == (Tcp("h1", 7000), Tcp("h2", 6379), Tcp("::1", 7001))


@pytest.mark.parametrize("path", ["", "/", "/0", "?db=0"])
def test_a_clusters_database_is_0(path):
    assert cluster(f"redis+cluster://h{path}").seeds == (Tcp("h", 6379),)


@pytest.mark.parametrize(
    ("scheme", "tls"),
    [
        ("redis", False),
        ("valkey", False),
        ("rediss", True),
        ("valkeys", True),
        ("REDISS", True),
    ],
)
def test_the_scheme_says_whether_tls_is_spoken(scheme, tls):
    assert sentinel(f"{scheme}+sentinel://h/main").tls is tls
    assert cluster(f"{scheme}+cluster://h").tls is tls


def test_credentials_stand_once_and_are_percent_decoded():
    for found in (
        sentinel("redis+sentinel://m%40e:p%2C%40%2F@h1,h2/main"),
        cluster("redis+cluster://m%40e:p%2C%40%2F@h1,h2"),
    ):
        assert (found.username, found.password) == ("m@e", Secret("p,@/"))


def test_credentials_may_stand_in_the_query():
    found = cluster("redis+cluster://h1,h2?username=me&password=s%26t")

    assert (found.username, found.password) == ("me", Secret("s&t"))


def test_the_query_holds_arguments_for_the_servers_and_options_of_ours():
    found = sentinel(
        "redis+sentinel://h/main?socket_timeout=2&read_from=replica"
        "&sentinel_username=watch&sentinel_password=x%26y"
    )

    assert found.options == (("socket_timeout", 2.0),)
    assert found.ours == (
        ("READ_FROM", "replica"),
        ("SENTINEL_PASSWORD", "x&y"),
        ("SENTINEL_USERNAME", "watch"),
    )


def test_a_cluster_may_say_what_is_read_from():
    found = cluster("redis+cluster://h?read_from=replica&client_name=web")

    assert found.ours == (("READ_FROM", "replica"),)
    assert found.options == (("client_name", "web"),)


REFUSED = {
    "redis+sentinel://h": "the path names the service",
    "redis+sentinel://h/": "the path names the service",
    "redis+sentinel://h/0": "redis+sentinel://127.0.0.1:26379/SERVICE/0",
    "redis+sentinel:///main": "there is no host",
    "redis+sentinel://h/ma(in": "the service's name holds a character",
    "redis+sentinel://h/main/x": "the number of a database, 0 or more",
    "redis+sentinel://h/main/1/2": "the number of a database, 0 or more",
    "redis+sentinel://h/main/1?db=2": "names two databases, 1 and 2",
    "redis+sentinel://h,,h2/main": "a comma separates hosts",
    "redis+sentinel://h,/main": "a comma separates hosts",
    "redis+sentinel://,h/main": "there is no host",
    "redis+sentinel://h,h:26379/main": "h:26379 stands there twice",
    "redis+sentinel://h:port/main": "no port from 1 to 65535",
    "redis+sentinel://::1/main": "stands in brackets",
    "redis+sentinel://u:p@h1,u:p@h2/main": "They stand once, before the first host",
    "redis+sentinel://u:p/q@h1/main": "in a password, write @ as %40, / as %2F",
    "redis+sentinel://u:p,q@h1/main": "and , as %2C",
    "redis+cluster://h1:7000,u:p@h2:7000": "They stand once, before the first host",
    "redis+sentinel://h/main?read_from=nowhere": "takes primary or replica",
    "redis+sentinel://h/main?master=x": "not a parameter",
    "redis+sentinel://h/main?sentinel_pasword=x": 'Did you mean "sentinel_password"',
    "redis+cluster://": "there is no host",
    "redis+cluster://h/1": "a cluster has database 0 alone",
    "redis+cluster://h?db=1": "tell data apart by KEY_PREFIX",
    "redis+cluster://h/main": "the number of a database, 0 or more",
    "redis+cluster://h:7000,h:7000": "h:7000 stands there twice",
    "redis+cluster://u:p@h1,u:p@h2": "They stand once, before the first host",
    "redis+cluster://h?sentinel_password=x": "not a parameter",
    "redis-sentinel://h/main": 'Did you mean "redis+sentinel"?',
    "rediss+clusters://h": 'Did you mean "rediss+cluster"?',
    "unix+sentinel://h/main": "is not a scheme of a Redis server",
    "embedded+cluster://h": "is not a scheme of a Redis server",
}


@pytest.mark.parametrize(("url", "said"), REFUSED.items())
def test_what_is_not_understood_is_an_error_that_says_what_to_write(url, said):
    with pytest.raises(InvalidSetting) as caught:
        parse(url)

    assert said in str(caught.value)
