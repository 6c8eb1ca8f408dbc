"""A server's URL is read strictly, and no message repeats a secret of it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redpony.errors import InvalidSetting
from redpony.wire.config import Secret, Tcp, Unix
from redpony.wire.masking import masked
from redpony.wire.spelling import nearest
from redpony.wire.url import EmbeddedUrl, ServerUrl, parse


def server(url: str) -> ServerUrl:
    found = parse(url)
    assert isinstance(found, ServerUrl)
    return found


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_plain_url_names_host_port_and_database(scheme):
    found = server(f"{scheme}://127.0.0.1:7000/3")

    assert (found.address, found.db, found.tls) == (Tcp("127.0.0.1", 7000), 3, False)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys", "REDISS"])
def test_a_scheme_with_s_asks_for_tls(scheme):
    assert server(f"{scheme}://example.com").tls is True


def test_the_port_is_6379_and_the_database_open_unless_they_are_given():
    found = server("redis://example.com")

    assert (found.address, found.db) == (Tcp("example.com", 6379), None)


def test_a_closing_slash_names_no_database():
    assert server("redis://example.com/").db is None


def test_the_database_may_stand_in_the_query():
    assert server("redis://example.com?db=4").db == 4


def test_a_database_named_twice_alike_is_no_fault():
    assert server("redis://example.com/4?db=4").db == 4


def test_an_ipv6_address_stands_in_brackets():
    assert server("redis://[2001:db8::1]:7000/0").address == Tcp("2001:db8::1", 7000)


def test_a_socket_is_named_by_its_path():
    found = server("unix:///run/my%20redis/s?db=2")

    assert (found.address, found.db) == (Unix("/run/my redis/s"), 2)


def test_a_socket_may_have_credentials():
    found = server("unix://me:secret@/run/s")

    assert (found.username, found.password) == ("me", Secret("secret"))


def test_credentials_are_percent_decoded():
    found = server("redis://m%40e:p%3A%40%2F%23%3Fw@example.com")

    assert (found.username, found.password) == ("m@e", Secret("p:@/#?w"))


def test_a_password_may_stand_without_a_user():
    found = server("redis://:secret@example.com")

    assert (found.username, found.password) == (None, Secret("secret"))


def test_an_empty_password_after_a_user_is_a_password():
    assert server("redis://me:@example.com").password == Secret("")


def test_a_colon_alone_is_no_password():
    assert server("redis://:@example.com").password is None


def test_credentials_may_stand_in_the_query():
    found = server("redis://example.com?username=me&password=s%26t")

    assert (found.username, found.password) == ("me", Secret("s&t"))


def test_parameters_of_the_query_are_read_by_their_kind():
    found = server(
        "rediss://h?socket_timeout=1.5&max_connections=7&ssl_check_hostname=no"
        "&client_name=web"
    )

    assert dict(found.options) == {
        "socket_timeout": 1.5,
        "max_connections": 7,
        "ssl_check_hostname": False,
        "client_name": "web",
    }


def test_the_embedded_server_takes_parameters():
    assert parse("embedded://?persist=1&production=1&db=3") == EmbeddedUrl(
        directory=None, persist=True, production=True, db=3
    )


def test_the_embedded_server_may_name_its_project():
    found = parse("embedded:///srv/my%20app/")

    assert isinstance(found, EmbeddedUrl)
    assert found.directory == "/srv/my app"


REFUSED = {
    "": "there is no scheme",
    "127.0.0.1:6379": "write redis://127.0.0.1:6379",
    "/run/redis.sock": "write unix:///run/redis.sock",
    "reddis://h": 'Did you mean "redis"?',
    "http://h": '"http" is not a scheme of a Redis server',
    "redis://": "there is no host",
    "redis://:6379/1": "there is no host",
    "redis:///1": "there is no host",
    "redis://h:port": "no port from 1 to 65535",
    "redis://h:0": "no port from 1 to 65535",
    "redis://h:65536": "no port from 1 to 65535",
    "redis://h:": "no port from 1 to 65535",
    "redis://h!": "a character that no host name has",
    "redis://::1:6379": "stands in brackets",
    "redis://[no]:6379": "no IPv6 address",
    "redis://h/-1": "the number of a database, 0 or more",
    "redis://h/one": "the number of a database, 0 or more",
    "redis://h/1/2": "the number of a database, 0 or more",
    "redis://h?db=-1": "the number of a database, 0 or more",
    "redis://h?db=one": '"db" takes a whole number',
    "redis://h/1?db=2": "names two databases, 1 and 2",
    "redis://h?socket_timout=1": 'Did you mean "socket_timeout"?',
    "redis://h?socket_timeout=soon": '"socket_timeout" takes a number',
    "redis://h?socket_keepalive=maybe": '"socket_keepalive" takes 1 or 0',
    "redis://h?protocol=2&protocol=3": "stands there twice",
    "unix://run/redis.sock": "follows three slashes",
    "unix://": "follows three slashes",
    "redis://h?sentinel_password=x": "not a parameter of a server's URL",
    "embedded://main": "the embedded server has no host",
    "embedded://?persit=1": 'Did you mean "persist"?',
    "embedded://?db=-1": "the number of a database, 0 or more",
    " redis://h": "white space stands around it",
    "redis://a b": "white space or a control character",
    "redis://h\n": "white space stands around it",
    "redis://h#1": "write it as %23",
}


@pytest.mark.parametrize(("url", "said"), REFUSED.items())
def test_what_is_not_understood_is_an_error_that_says_what_to_write(url, said):
    with pytest.raises(InvalidSetting) as caught:
        parse(url)

    assert said in str(caught.value)


SECRETIVE = [
    "redis://u:hunter2@h:bad",
    "redis://:hunter2@h:bad",
    "redis://u:hun/hunter2@h:6379/1",
    "redis://u:hun?hunter2@h/1",
    "redis://u:hun&hunter2=1@h/1?x",
    "redis://u:hun?hunter2=1@h/1",
    "redis://u:hun#hunter2@h/1",
    "redis://u:hun hunter2@h/1",
    "redis://u:hun@hunter2@h:bad",
    "redis://u:hun:hunter2@h:bad",
    "redis://:hunter2",
    "redis://u:hunter2",
    "redis://u:hunter2@",
    "redis://u:hunter2@?@h",
    "u:hunter2@h",
    "http://u:hunter2@h",
    "redis+sentinel://u:hunter2@h/s/x",
    "redis+sentinel://u:hunter2@h,h2",
    "redis+sentinel://u:hunter2@h,u:hunter2@h2/s",
    "redis+sentinel://:hun,hunter2",
    "redis+sentinel://h:hun,hunter2/s",
    "redis+sentinel://h?sentinel_password=hunter2",
    "redis+cluster://u:hun/hunter2@h",
    "redis+cluster://u:hun?hunter2@h",
    "redis+cluster://u:hunter2@h/1",
    "redis+cluster://h:7000,u:hunter2@h:7001",
    "redis://h?password=hunter2&unknown=1",
    "redis://h?pasword=hunter2",
    "redis://h?ssl_password=hunter2&unknown=1",
    "redis://u:hunter2@h?client_name=a@b&unknown=1",
    "embedded://?password=hunter2",
    "unix://u:hunter2@run/s",
    "redis://u:hunter2@[::1/1",
    "redis://u:p@q?hunter2@h/1",
    "redis://u:1?db=hunter2@h/1",
    "REDIS://u:hunter2@h/x",
]


@pytest.mark.parametrize("url", SECRETIVE)
def test_no_error_repeats_a_password(url):
    with pytest.raises(InvalidSetting) as caught:
        parse(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", SECRETIVE)
def test_masking_leaves_no_password(url):
    assert "hunter2" not in masked(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/1", "redis://h:6379/1"),
        ("redis://me:secret@h:6379/1", "redis://me:***@h:6379/1"),
        ("redis://secret@h", "redis://***@h"),
        ("redis://[::1]:6379/1", "redis://[::1]:6379/1"),
        ("redis://h?db=1&password=x", "redis://h?db=1&password=***"),
        ("unix:///run/s?db=1", "unix:///run/s?db=1"),
        ("embedded://?persist=1", "embedded://?persist=1"),
        ("127.0.0.1:6379", "127.0.0.1:6379"),
        ("redis+cluster://h:7000,[::1]:7001", "redis+cluster://h:7000,[::1]:7001"),
        ("redis+sentinel://u:x@h,h2/s/0", "redis+sentinel://u:***@h,h2/s/0"),
        (
            "redis+sentinel://h/s?read_from=replica&sentinel_password=x",
            "redis+sentinel://h/s?read_from=replica&sentinel_password=***",
        ),
    ],
)
def test_masking_keeps_what_helps(url, shown):
    assert masked(url) == shown


def test_the_same_case_is_nearer():
    assert nearest("SOKET", ("socket", "SOCKET")) == ' Did you mean "SOCKET"?'


def test_another_case_is_near_too():
    assert nearest("deadline", ("DEADLINE", "DB")) == ' Did you mean "DEADLINE"?'


def test_nothing_near_is_not_guessed():
    assert nearest("xyz", ("DEADLINE", "DB")) == ""


@example(before="@/", after="", host="h", scheme="unix")
@given(
    before=st.text("ab1:/?#@&=[]%;,. ", max_size=8),
    after=st.text("ab1:/?#@&=[]%;,. ", max_size=8),
    host=st.sampled_from(
        ["h", "h:6379/1", "h:bad", "[::1]:1/0", "h/1?db=1", "", "h,h2", "h,h2:1/s/0"]
    ),
    scheme=st.sampled_from(
        [
            "redis",
            "rediss",
            "unix",
            "http",
            "embedded",
            "redis+sentinel",
            "rediss+cluster",
        ]
    ),
)
def test_whatever_a_password_holds_it_is_not_shown(before, after, host, scheme):
    url = f"{scheme}://user:{before}HUNTER{after}@{host}"

    assert "HUNTER" not in masked(url)
    try:
        found = parse(url)
    except InvalidSetting as error:
        assert "HUNTER" not in str(error)
    else:
        assert "HUNTER" not in repr(found)
