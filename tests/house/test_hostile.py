"""The peers that misbehave do so in the way that they promise."""

import socket

import pytest
import redis

from tests import hostile
from tests.hostile import FakeServer, FullBacklog
from tests.proxy import Proxy

PING = b"*1\r\n$4\r\nPING\r\n"


def connect(peer, timeout=5.0):
    return socket.create_connection((peer.host, peer.port), timeout)


def test_a_fake_server_answers_what_the_script_says():
    with FakeServer(hostile.answers(b"$5\r\nvalue\r\n")) as fake:
        client = redis.Redis.from_url(fake.url, retry=None, protocol=3)
        with client:
            assert client.get("a") == b"value"


def test_each_connection_takes_the_next_script():
    first, rest = hostile.answers(b"+1\r\n"), hostile.answers(b"+2\r\n")
    with FakeServer(first, rest) as fake:
        seen = []
        for _ in range(3):
            with connect(fake) as sock:
                sock.sendall(PING)
                seen.append(sock.recv(100))
        fake.wait_accepted(3)
    assert seen == [b"+1\r\n", b"+2\r\n", b"+2\r\n"]


def test_a_silent_server_takes_bytes_and_gives_none():
    with FakeServer(hostile.silent) as fake, connect(fake, 0.05) as sock:
        sock.sendall(PING)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_a_reset_is_not_an_end_of_file():
    with FakeServer(hostile.resets) as fake, connect(fake) as sock:
        sock.sendall(PING)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_reply_comes_in_the_pieces_that_were_asked_for():
    def script(peer):
        peer.read()
        peer.send_split(b"+PONG\r\n", [1] * 7)
        peer.silence()

    with FakeServer(script) as fake, connect(fake) as sock:
        sock.sendall(PING)
        got = b""
        while len(got) < 7:
            got += sock.recv(100)
    assert got == b"+PONG\r\n"


def test_what_a_script_raises_reaches_the_test():
    def script(peer):
        assert peer.read() == [b"GET"]

    with pytest.raises(AssertionError):
        with FakeServer(script) as fake, connect(fake) as sock:
            sock.sendall(PING)
            assert sock.recv(1) == b""


def test_a_full_backlog_lets_nobody_in():
    with FullBacklog() as hole, pytest.raises(TimeoutError):
        connect(hole, 0.1)


@pytest.fixture
def proxied(valkey):
    valkey.flush()
    with Proxy((valkey.host, valkey.port)) as proxy:
        yield proxy


def test_a_proxy_carries_both_ways(proxied):
    with redis.Redis.from_url(proxied.url) as client:
        client.set("a", b"x" * 1_000_000)
        assert client.get("a") == b"x" * 1_000_000


def test_a_stalled_proxy_delivers_when_it_heals(proxied):
    with connect(proxied, 0.05) as sock:
        proxied.stall()
        sock.sendall(PING)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        proxied.heal()
        sock.settimeout(5)
        assert sock.recv(100) == b"+PONG\r\n"


def test_a_cut_proxy_closes_what_is_open_and_what_comes(proxied):
    with connect(proxied) as sock:
        proxied.cut()
        assert sock.recv(1) == b""
    with connect(proxied) as sock:
        assert sock.recv(1) == b""
    proxied.heal()
    with connect(proxied) as sock:
        sock.sendall(PING)
        assert sock.recv(100) == b"+PONG\r\n"


def test_a_proxy_resets_while_it_is_stalled(proxied):
    with connect(proxied) as sock:
        proxied.stall()
        sock.sendall(PING)
        proxied.reset()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_proxy_cuts_after_so_many_bytes(proxied):
    with connect(proxied) as sock:
        proxied.cut_after(10)
        sock.sendall(PING * 3)
        got = b""
        while data := sock.recv(100):
            got += data
    assert got == b"+PONG\r\n+PO"


def test_a_proxy_chops_what_goes_to_the_client(proxied):
    proxied.chop(1)
    with connect(proxied) as sock:
        sock.sendall(PING)
        got = b""
        while len(got) < 7:
            got += sock.recv(100)
    assert got == b"+PONG\r\n"
    assert proxied.to_client == 7
