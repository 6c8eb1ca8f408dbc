"""F39: servers of other versions than the one that was there before."""

from __future__ import annotations

import pytest

from redpony.errors import InvalidSetting, RedponyError, Unavailable
from tests.hostile import HELLO, FakeServer, Peer
from tests.servers import Server, free_port, until

OK = b"+OK\r\n"
PATIENT = {"CONNECT_TIMEOUT": 5, "DEADLINE": 5}

VERSIONS = [
    ("redis", "6.2.14"),
    ("redis", "7.0.15"),
    ("redis", "7.2.4"),
    ("redis", "7.4.1"),
    ("redis", "8.0.0"),
    ("redis", "8.2.1"),
    ("redis", "8.4.0"),
    ("valkey", "7.2.8"),
    ("valkey", "8.0.1"),
    ("valkey", "8.1.0"),
    ("valkey", "9.0.0"),
    ("valkey", "9.1.2"),
]
ODD = [
    ("redis", "255.255.255"),  # built from a branch
    ("redis", "8.4.0-rc1"),
    ("redis", "7.0"),
    ("valkey", "9.1.2-dev"),
    ("redis", ""),
    ("redis", "unstable"),
    ("redis", "df-v1.25.0"),  # Dragonfly
    ("redis", "6.3.4"),  # KeyDB
]
OLD = [("redis", "6.0.20"), ("redis", "5.0.14"), ("redis", "2.8.24")]


def bulk(text: bytes | None) -> bytes:
    return b"$-1\r\n" if text is None else b"$%d\r\n%s\r\n" % (len(text), text)


class Imitation:
    """A server that says which one it is, and knows the commands which that has."""

    def __init__(self, server: str, version: str, *, hello: bool = True) -> None:
        self.server = server
        self.version = version
        self.hello = hello
        self.values: dict[bytes, bytes] = {}
        self.asked: list[bytes] = []
        numbers = [int(each) for each in version.split(".") if each.isdigit()]
        self.numbers = tuple(numbers)

    def has(self, redis: tuple[int, ...], valkey: tuple[int, ...]) -> bool:
        return self.numbers >= (valkey if self.server == "valkey" else redis)

    def __call__(self, peer: Peer) -> None:
        while True:
            words = peer.read()
            peer.send(self.answer(words[0].upper(), words[1:]))

    def answer(self, name: bytes, args: list[bytes]) -> bytes:
        self.asked.append(name)
        known = getattr(self, f"do_{name.decode().lower()}", None)
        if known is None:
            return b"-ERR unknown command '%s', with args beginning with: \r\n" % name
        return known(*args)

    # The introduction

    def do_hello(self, *args: bytes) -> bytes:
        if not self.hello:
            return b"-ERR unknown command 'HELLO'\r\n"
        greeting = HELLO.replace(b"+redis\r\n", b"+%s\r\n" % self.server.encode())
        return greeting.replace(b"7.0.15", self.version.encode())

    def do_client(self, word: bytes, *args: bytes) -> bytes:
        if word.upper() == b"SETINFO" and not self.has((7, 2), (7, 2)):
            return b"-ERR Unknown subcommand or wrong number of arguments\r\n"
        return OK

    def do_info(self, *args: bytes) -> bytes:
        kind = "redis" if self.server == "redis" else self.server
        return bulk(f"# Server\r\n{kind}_version:{self.version}\r\n".encode())

    def do_role(self) -> bytes:
        return b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

    # Values

    def do_get(self, key: bytes) -> bytes:
        return bulk(self.values.get(key))

    def do_mget(self, *keys: bytes) -> bytes:
        found = [bulk(self.values.get(key)) for key in keys]
        return b"*%d\r\n%s" % (len(found), b"".join(found))

    def do_set(self, key: bytes, value: bytes, *options: bytes) -> bytes:
        self.values[key] = value
        return OK

    def do_mset(self, *pairs: bytes) -> bytes:
        self.values.update(zip(pairs[::2], pairs[1::2], strict=True))
        return OK

    def do_msetex(self, count: bytes, *rest: bytes) -> bytes:
        if not self.has((8, 4), (9, 1)):
            return b"-ERR unknown command 'MSETEX', with args beginning with: \r\n"
        self.do_mset(*rest[: 2 * int(count)])
        return b":1\r\n"

    def do_unlink(self, *keys: bytes) -> bytes:
        return b":%d\r\n" % sum(self.values.pop(k, None) is not None for k in keys)


def works(cache) -> None:
    """Use what differs between versions."""
    assert cache.set("a", [1], 10)
    assert cache.get("a") == [1]
    assert cache.set_many({"b": [2], "c": [3]}, 10) == []
    assert cache.get_many(["a", "b", "c"]) == {"a": [1], "b": [2], "c": [3]}
    assert cache.set_many({"b": [4], "c": [5]}, None) == []
    assert cache.get("c") == [5]
    assert cache.delete("a")


def named(each) -> str:
    return "-".join(each) or "none"


@pytest.mark.parametrize("version", VERSIONS, ids=named)
def test_each_version_is_asked_for_what_it_has(cache_on, caller, version):
    imitation = Imitation(*version)
    with FakeServer(imitation) as fake:
        works(caller(cache_on(None, LOCATION=fake.url, **PATIENT)))
    modern = imitation.has((8, 4), (9, 1))
    assert (b"MSETEX" in imitation.asked) is modern
    assert imitation.asked.count(b"HELLO") == 1


@pytest.mark.parametrize("version", VERSIONS, ids=named)
def test_each_version_is_spoken_to_without_hello(cache_on, caller, version):
    """As behind a proxy that does not know it."""
    imitation = Imitation(*version, hello=False)
    with FakeServer(imitation) as fake:
        works(caller(cache_on(None, LOCATION=fake.url, **PATIENT)))
    assert (b"MSETEX" in imitation.asked) is imitation.has((8, 4), (9, 1))


@pytest.mark.parametrize("version", ODD, ids=named)
def test_what_says_something_odd_of_itself_is_used_all_the_same(
    cache_on, caller, version
):
    imitation = Imitation(*version)
    imitation.numbers = (6, 2)
    if version == ("redis", "255.255.255"):
        imitation.numbers = (255,)
    if version[1].startswith(("8.4", "9.1")):
        imitation.numbers = (255,)
    with FakeServer(imitation) as fake:
        works(caller(cache_on(None, LOCATION=fake.url, **PATIENT)))


@pytest.mark.parametrize("version", OLD, ids=named)
@pytest.mark.parametrize("hello", [True, False], ids=["hello", "resp2"])
def test_what_is_too_old_is_told_with_what_is_needed(cache_on, caller, version, hello):
    imitation = Imitation(*version, hello=hello)
    with FakeServer(imitation) as fake:
        cache = caller(cache_on(None, LOCATION=fake.url, **PATIENT))
        met = cache.meets("set", "key", 1)
        assert isinstance(met, InvalidSetting)
        assert version[1] in str(met)
        assert "6.2" in str(met)
        assert "7.2" in str(met)
    assert imitation.values == {}


def test_a_server_that_tells_nothing_is_taken_for_an_old_one(cache_on, caller):
    imitation = Imitation("redis", "", hello=False)
    imitation.do_info = lambda *_: b"-NOPERM no\r\n"  # type: ignore[method-assign]
    imitation.do_role = lambda *_: b"-NOPERM no\r\n"  # type: ignore[method-assign]
    with FakeServer(imitation) as fake:
        works(caller(cache_on(None, LOCATION=fake.url, **PATIENT)))
    assert b"MSETEX" not in imitation.asked


class Succession:
    """Servers that take each other's place at one address."""

    def __init__(self, *imitations: Imitation) -> None:
        self.imitations = imitations
        self.now = 0

    def __call__(self, peer: Peer) -> None:
        mine = self.now
        while True:
            words = peer.read()
            if self.now != mine:
                return  # it has gone, and its connections with it
            peer.send(self.imitations[mine].answer(words[0].upper(), words[1:]))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("valkey", "9.1.2"), ("redis", "7.0.15")),
        (("redis", "7.0.15"), ("valkey", "9.1.2")),
        (("redis", "8.4.0"), ("redis", "6.2.14")),
        (("valkey", "9.1.2"), ("valkey", "9.0.0")),
    ],
    ids=["to redis", "to valkey", "down", "minor"],
)
def test_a_server_that_is_replaced_is_asked_for_what_the_new_one_has(
    cache_on, caller, before, after
):
    old, new = Imitation(*before), Imitation(*after)
    succession = Succession(old, new)
    with FakeServer(succession) as fake:
        cache = caller(cache_on(None, LOCATION=fake.url, **PATIENT))
        works(cache)
        succession.now = 1
        # At most one operation learns of it.
        until(lambda: not isinstance(cache.tries("get", "a"), Unavailable), "it is met")
        works(cache)


def test_the_first_command_after_a_downgrade_is_one_that_the_server_has(
    cache_on, caller
):
    """Its connection is lost while idle; what is sent was chosen for the old one."""
    port = free_port()
    with Server("valkey", port=port) as old:
        cache = caller(cache_on(None, LOCATION=old.url(), **PATIENT))
        works(cache)
    with Server("redis", port=port):
        assert cache.set_many({"b": [2], "c": [3]}, 10) == []
        assert cache.get_many(["b", "c"]) == {"b": [2], "c": [3]}
        works(cache)


@pytest.mark.parametrize("order", ["down", "up"])
def test_a_crowd_whose_server_is_replaced(cache_on, workload, order):
    port = free_port()
    first, second = ("valkey", "redis") if order == "down" else ("redis", "valkey")
    with Server(first, port=port) as server:
        cache = cache_on(
            None, LOCATION=server.url(), **PATIENT, BREAKER={"COOLDOWN": 0.05}
        )
        load = workload(cache)
        with load:
            load.go_on()
            server.kill()
            load.fails(20)
            with Server(second, port=port):
                load.go_on(5)
                load.__exit__()
                load.verdict(may_lose=True, forgets=True)


@pytest.mark.parametrize("command", ["MGET", "GET", "UNLINK"])
def test_a_command_that_the_server_does_not_have_is_an_error_and_no_loss(
    cache_on, caller, command
):
    imitation = Imitation("redis", "7.0.15")
    setattr(imitation, f"do_{command.lower()}", None)
    with FakeServer(imitation) as fake:
        cache = caller(cache_on(None, LOCATION=fake.url, **PATIENT))
        method, args = {
            "MGET": ("get_many", (["a", "b"],)),
            "GET": ("get", ("a",)),
            "UNLINK": ("delete", ("a",)),
        }[command]
        met = cache.meets(method, *args)
        assert isinstance(met, RedponyError)
        assert met.outcome == "refused"
        assert command in str(met)
        assert cache.set("a", 1)
        assert fake.accepted == 1
        assert cache.breakers == {"closed"}


def test_a_command_that_the_server_does_not_have_tells_no_key_and_no_value(
    cache_on, caller
):
    """Servers quote what they were sent."""
    imitation = Imitation("redis", "7.0.15")
    imitation.do_set = lambda *_: (  # type: ignore[method-assign]
        b"-ERR unknown command 'SET', with args beginning with: ':1:alice' 'secret'\r\n"
    )
    with FakeServer(imitation) as fake:
        cache = caller(cache_on(None, LOCATION=fake.url, **PATIENT))
        met = cache.meets("set", "alice", "secret")
    assert "'SET'" in str(met)
    assert "alice" not in f"{met!r} {met}"
    assert "secret" not in f"{met!r} {met}"
