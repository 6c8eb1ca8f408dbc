"""F10: the server answers garbage: another protocol, broken replies, endless ones."""

from __future__ import annotations

import asyncio
import contextlib
import random
import select
import socket
from collections import deque
from pathlib import Path

import pytest

from redpony.errors import DeadlineExceeded, ProtocolError, Unavailable
from tests.faults.slots import connections
from tests.hostile import FakeServer, Peer
from tests.servers import until

GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "tls alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "binary": bytes(range(256)),
    "zeros": bytes(1000),
    "line ends": b"\r\n\r\n\r\n",
    "bad integer": b":12a\r\n",
    "huge integer": b":99999999999999999999999\r\n",
    "bad length": b"$abc\r\n",
    "negative length": b"$-7\r\n",
    "negative count": b"*-7\r\n",
    "streamed string": b"$?\r\n;4\r\nword\r\n;0\r\n",
    "map with list keys": b"%1\r\n*1\r\n:1\r\n:2\r\n",
    "bad boolean": b"#x\r\n",
    "deep nesting": b"*1\r\n" * 100_000,
    "blob error": b"!21\r\nSYNTAX invalid syntax\r\n",
    "attribute": b"|1\r\n+ttl\r\n:3600\r\n",
    "list of a billion": b"*999999999\r\n",
    "set of two billion": b"~2147483647\r\n",
    "map of half a billion": b"%499999999\r\n",
    "push of a billion": b">999999999\r\n",
}
"""Each is noticed as soon as it is read; none could be the answer to anything."""

SHAPES = {
    "integer for a value": ("get", ("key",), b":1\r\n"),
    "list for a value": ("get", ("key",), b"*1\r\n:1\r\n"),
    "value for a count": ("incr", ("n", 1, None, True), b"$1\r\n1\r\n"),
    "boolean for a count": ("incr", ("n", 1, None, True), b"#t\r\n"),
    "null for a list": ("get_many", (["key", "n"],), b"_\r\n"),
    "status for a map": ("hgetall", ("hash",), b"+OK\r\n"),
}

UNFINISHED = {
    "endless bulk string": b"$999999999999\r\nx",
    "endless line": b"+" + b"x" * 100_000,
    "header alone": b"$",
    "list that lacks an item": b"*2\r\n$1\r\nx\r\n",
}
"""Each could still become a reply: what ends the wait is the deadline."""


class Liar:
    """Stands before a server and says something else from time to time.

    A lie is told in the place of the next reply, or before it; each is told once.
    """

    def __init__(self, server) -> None:
        self.place = server.host, server.port
        self.in_place: deque[bytes] = deque()
        self.before: deque[bytes] = deque()

    def __call__(self, peer: Peer) -> None:
        with (
            socket.create_connection(self.place) as server,
            contextlib.suppress(OSError),
        ):
            while True:
                ready, _, _ = select.select([peer.sock, server], [], [])
                if peer.sock in ready:
                    server.sendall(peer.read_bytes())
                if server in ready:
                    reply = server.recv(65536)
                    if not reply:
                        return
                    peer.send(self._retell(reply))

    def _retell(self, reply: bytes) -> bytes:
        if self.in_place:
            return self.in_place.popleft()
        return (self.before.popleft() if self.before else b"") + reply

    @property
    def told(self) -> bool:
        return not self.in_place and not self.before


@pytest.fixture
def liar(place):
    return Liar(place.handle)


@pytest.fixture
def fake(liar):
    with FakeServer(liar) as fake:
        yield fake


@pytest.fixture
def behind(fake, cache_on):
    """Return a function that makes a cache behind the liar."""

    def make(**given):
        given.setdefault("BREAKER", {"FAILURES": 10**6})
        return cache_on(None, LOCATION=fake.url, **given)

    return make


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_an_error_and_the_connections_end(name, liar, fake, behind, caller):
    cache = caller(behind(DEADLINE=5))
    assert cache.set("key", "value")
    assert cache.incr("n", ignore_key_check=True) == 1
    liar.in_place.append(GARBAGE[name])
    met = cache.meets("incr", "n", ignore_key_check=True)
    assert isinstance(met, ProtocolError)
    assert met.outcome == "unknown"
    # On another connection everything is as it was, and what was asked was done.
    assert cache.get("n") == 2
    assert fake.accepted == 2
    liar.in_place.append(GARBAGE[name])
    assert isinstance(cache.tries("get_many", ["key"]), ProtocolError)
    assert cache.get("key") == "value"
    assert fake.accepted == 3


@pytest.mark.parametrize("name", GARBAGE)
def test_a_server_that_greets_with_garbage_was_sent_nothing(
    name, liar, fake, behind, caller, place
):
    cache = caller(behind(CONNECT_TIMEOUT=5, RETRIES=0))
    liar.in_place.append(GARBAGE[name])
    met = cache.meets("set", "key", "value")
    assert isinstance(met, Unavailable)
    assert met.outcome == "not_sent"
    assert place.ask("DBSIZE") == [0]
    assert cache.set("key", "value")
    assert fake.accepted == 2


@pytest.mark.parametrize("name", SHAPES)
def test_a_reply_that_a_command_never_has_is_no_answer(name, liar, behind, caller):
    method, args, reply = SHAPES[name]
    cache = caller(behind(DEADLINE=5))
    assert cache.set("key", "value")
    liar.in_place.append(reply)
    assert isinstance(cache.meets(method, *args), ProtocolError)
    assert cache.get("key") == "value"


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_reply_without_an_end_costs_the_deadline(name, liar, behind, caller):
    cache = caller(behind(DEADLINE=0.2))
    assert cache.set("key", "value")
    liar.in_place.append(UNFINISHED[name])
    met = cache.meets("get_many", ["key", "other"])
    assert isinstance(met, DeadlineExceeded)
    assert met.outcome == "unknown"
    while isinstance(found := cache.tries("get", "key"), Unavailable):
        pass
    assert found == "value"


@pytest.mark.parametrize("length", range(12))
def test_a_value_of_a_wrong_length_is_no_value(length, liar, behind, caller):
    """hiredis does not look at what follows a value; its seal tells."""
    cache = caller(behind(DEADLINE=5))
    value = {"a": [1, None]}
    assert cache.set("key", value)
    sealed = cache.cache.client.encode(value, key="key")
    liar.in_place.append(b"$%d\r\n%b\r\n" % (len(sealed) - 1 - length, sealed))
    met = cache.tries("get", "key", "default")
    assert met == "default" or isinstance(met, ProtocolError)
    assert cache.get("key") == value


def test_a_reply_that_never_stops_is_cut_off(cache_on, caller, record):
    """Memory is bounded by what the network delivers within the deadline."""

    def endless(peer: Peer) -> None:
        peer.greet()
        peer.send(b"$999999999999\r\n")
        while True:
            peer.send(b"x" * 100_000)

    with FakeServer(endless) as fake:
        cache = caller(cache_on(None, LOCATION=fake.url, DEADLINE=0.1, RETRIES=0))
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        met = cache.meets("get_many", ["key", "other"])
        assert isinstance(met, DeadlineExceeded)
        # In asyncio the connection stays for as long again, in case it ends well.
        if cache.colour.is_async:
            until(
                lambda: turn(cache.colour) or not connections(cache.link),
                "the connection is closed",
            )
        growth = memory("VmHWM") - before
    record(memory=growth)
    assert growth < 1024


def turn(colour):
    """Let the test's event loop go on for a moment."""
    colour.run(asyncio.sleep(0.001))


def memory(name):
    """Return a figure of this process, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) // 1024
    raise LookupError(name)


def test_a_site_that_goes_on_without_is_answered(cache_on, caller):
    def mumbles(peer: Peer) -> None:
        peer.read()
        peer.send(GARBAGE["http"])

    with FakeServer(mumbles) as fake:
        cache = caller(cache_on(None, LOCATION=fake.url, ON_ERROR="degrade"))
        for _ in range(10):
            assert cache.get("key", "default") == "default"
            assert cache.set("key", "value") is False
            assert cache.get_or_set("key", lambda: "made") == "made"


TOPOLOGY = {
    "sentinel": "redis+sentinel://{}/main/0",
    "cluster": "redis+cluster://{}",
}

NONSENSE = {
    "integer": b":1\r\n",
    "text": b"$3\r\nabc\r\n",
    "nothing": b"_\r\n",
    "empty list": b"*0\r\n",
    "list of integers": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "list of an empty list": b"*1\r\n*0\r\n",
    "list of lists of texts": b"*1\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "slots without a server": b"*1\r\n*2\r\n:0\r\n:16383\r\n",
    "slots that there are not": b"*1\r\n*3\r\n:-5\r\n:99999\r\n*2\r\n$1\r\nh\r\n:1\r\n",
    "a port that there is not": b"*2\r\n$9\r\n127.0.0.1\r\n$6\r\n999999\r\n",
    "a map": b"%1\r\n$4\r\nport\r\n$1\r\nx\r\n",
    "an error": b"-ERR no\r\n",
    "http": GARBAGE["http"],
}
"""What a server may say of its topology, and none can be led by."""


@pytest.mark.parametrize("topology", TOPOLOGY)
@pytest.mark.parametrize("name", NONSENSE)
def test_a_topology_that_is_told_in_nonsense_is_an_error(
    name, topology, cache_on, caller
):
    def answers(peer: Peer) -> None:
        peer.greet()
        while True:
            peer.send(NONSENSE[name])
            peer.read()

    with FakeServer(answers) as fake:
        location = TOPOLOGY[topology].format(f"{fake.host}:{fake.port}")
        cache = caller(cache_on(None, LOCATION=location))
        for method, args in (("set", ("key", "value")), ("incr", ("n",))):
            met = cache.meets(method, *args)
            assert met.outcome in ("not_sent", "unknown", "refused")
        assert cache.meets("get", "key").outcome is not None


def test_a_crowd_is_right_while_it_is_lied_to(liar, behind, workload, place):
    chance = random.Random(10)
    lies = list(GARBAGE.values())
    with workload(behind(BREAKER={"COOLDOWN": 0.05})) as load:
        for _ in range(60):
            load.answers(20)
            told = chance.choice([liar.in_place, liar.before])
            told.append(chance.choice(lies))
            load.until(lambda: liar.told)
        load.go_on()
    figures = load.verdict()
    assert figures["unknown"] > 10
