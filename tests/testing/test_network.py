"""What each fault of the chaos proxy does to connections."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl

import pytest

from redpony.testing.chaos import Proxy
from tests.hostile import FakeServer
from tests.testing.echo import ask, connect, echo, is_silent, read
from tests.wire.links import until, waiting_at

LONG = 3_600_000
"""An hour, in milliseconds: longer than any test."""


@pytest.fixture
def server():
    with FakeServer(echo) as server:
        yield server


@pytest.fixture
def proxy(server):
    with Proxy((server.host, server.port), seed=1) as proxy:
        yield proxy


# -- toxics ---------------------------------------------------------------------


def test_latency_holds_replies_back_for_its_time(proxy):
    with connect(proxy) as sock:
        with proxy.latency(LONG):
            sock.sendall(b"hello")
            until(lambda: proxy.to_server == 5)
            assert is_silent(sock)
        # Removed, it delivers what it has kept.
        assert read(sock, 5) == b"hello"
        assert ask(sock) == b"hello"


def test_latency_delivers_by_itself(proxy):
    proxy.latency(20, jitter=15)
    with connect(proxy) as sock:
        for number in range(5):
            assert ask(sock, b"%d" % number) == b"%d" % number
        sock.sendall(b"abc")
        assert read(sock, 3) == b"abc"


def test_latency_upstream_holds_requests_back(proxy):
    with connect(proxy) as sock:
        with proxy.latency(LONG, stream="upstream"):
            sock.sendall(b"hello")
            assert is_silent(sock)
            assert proxy.to_server == 0
        assert read(sock, 5) == b"hello"


def test_bandwidth_is_a_trickle(proxy):
    with connect(proxy) as sock:
        with proxy.bandwidth(0.001):
            sock.sendall(b"hello")
            until(lambda: proxy.to_server == 5)
            assert is_silent(sock)
        assert read(sock, 5) == b"hello"
        proxy.bandwidth(100)
        assert ask(sock, bytes(5000)) == bytes(5000)


def test_a_slicer_sends_small_pieces(proxy):
    seen = []
    with connect(proxy) as sock:
        with proxy.slicer(2, delay_us=2_000):
            sock.sendall(b"hello")
            while len(b"".join(seen)) < 5:
                seen.append(sock.recv(100))
        assert b"".join(seen) == b"hello"
        assert len(seen) > 1
        with proxy.slicer(1):
            assert ask(sock, bytes(20_000)) == bytes(20_000)


def test_a_slicer_pauses_between_its_pieces(proxy):
    with connect(proxy) as sock:
        with proxy.slicer(2, delay_us=LONG * 1000):
            sock.sendall(b"hello")
            assert read(sock, 2) == b"he"
            assert is_silent(sock)
        assert read(sock, 3) == b"llo"


@pytest.mark.parametrize("size", range(6))
def test_a_limit_closes_after_so_many_bytes(size, proxy):
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
        proxy.limit_data(size)
        sock.sendall(b"hello" * 2)
        assert read(sock, 100) == (b"hello" * 2)[:size]
    # Each connection has the whole of it.
    with connect(proxy) as sock:
        sock.sendall(b"hello" * 2)
        assert read(sock, 100) == (b"hello" * 2)[:size]


def test_a_limit_may_reset(proxy):
    proxy.limit_data(3, reset=True)
    with connect(proxy) as sock:
        sock.sendall(b"hello")
        got = b""
        with pytest.raises(ConnectionResetError):
            while True:
                got += sock.recv(1)
    assert got in (b"", b"hel")  # the kernel may drop what was not yet read


def test_a_limit_upstream_counts_what_goes_to_the_server():
    got = []

    def reads(peer):
        while True:
            got.append(peer.read_bytes())

    with FakeServer(reads) as server, Proxy((server.host, server.port)) as proxy:
        proxy.limit_data(3, stream="upstream")
        with connect(proxy) as sock:
            sock.sendall(b"hello")
            assert sock.recv(1) == b""
        until(lambda: b"".join(got) == b"hel")
        assert proxy.to_server == 3


def test_a_timeout_is_silent_and_then_closes(proxy):
    with connect(proxy) as sock:
        proxy.timeout(60)
        sock.sendall(b"hello")
        assert sock.recv(1) == b""
    assert proxy.to_client == 0


def test_a_timeout_of_nothing_stays_silent(proxy):
    with connect(proxy) as sock, connect(proxy) as other:
        assert ask(other) == b"hello"
        toxic = proxy.timeout(0)
        sock.sendall(b"hello")
        until(lambda: proxy.to_server == 10)
        assert is_silent(sock)
        # What was lost is lost: the stream has a hole.
        toxic.remove()
        assert sock.recv(1) == b""
        # Another one has none.
        assert ask(other) == b"hello"


def test_a_timeout_upstream_keeps_requests_from_the_server(proxy):
    with connect(proxy) as sock:
        with proxy.timeout(stream="upstream"):
            sock.sendall(b"hello")
            assert is_silent(sock)
        assert sock.recv(1) == b""
    assert proxy.to_server == 0


def test_a_half_open_connection_goes_when_its_client_does(proxy):
    proxy.timeout(0)
    with connect(proxy) as sock:
        sock.sendall(b"hello")
        until(lambda: proxy.to_server == 5)
    until(lambda: proxy.open == 0)


def test_reset_peer_resets_what_is_open_and_what_comes(proxy):
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
        proxy.reset_peer()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    # It comes as soon as the connection has been accepted.
    with pytest.raises(ConnectionResetError):
        with connect(proxy) as sock:
            sock.recv(1)
    proxy.heal()
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"


def test_reset_peer_lets_nothing_through_until_then(proxy):
    with connect(proxy) as sock:
        proxy.reset_peer(60)
        sock.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert proxy.to_client == 0


def test_reset_peer_upstream_resets_the_server():
    met = []

    def waits(peer):
        try:
            met.append(peer.sock.recv(1))
        except OSError as error:
            met.append(type(error))

    with FakeServer(waits) as server, Proxy((server.host, server.port)) as proxy:
        with connect(proxy) as sock:
            server.wait_accepted(1)
            proxy.reset_peer(stream="upstream")
            assert sock.recv(1) == b""
            until(lambda: met)
    assert met == [ConnectionResetError]


def test_a_slow_close_is_noticed_late():
    def answers_and_ends(peer):
        peer.send(peer.read_bytes())

    with FakeServer(answers_and_ends) as server:
        with Proxy((server.host, server.port)) as proxy, connect(proxy) as sock:
            with proxy.slow_close(LONG):
                assert ask(sock) == b"hello"
                assert is_silent(sock)
            assert sock.recv(1) == b""
        with Proxy((server.host, server.port)) as proxy, connect(proxy) as sock:
            proxy.slow_close(30)
            assert ask(sock) == b"hello"
            assert sock.recv(1) == b""


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_a_stall_keeps_everything_until_it_is_removed(stream, proxy):
    with connect(proxy) as sock:
        with proxy.stall(stream=stream):
            sock.sendall(b"hello")
            assert is_silent(sock)
            assert proxy.to_server == (5 if stream == "downstream" else 0)
        assert read(sock, 5) == b"hello"


def test_a_stall_leaves_unread_what_comes(proxy):
    with connect(proxy) as sock, proxy.stall(stream="upstream"):
        sock.sendall(b"hello")
        until(lambda: waiting_at(proxy.port) == 5)


# -- several toxics, some connections ----------------------------------------------


def test_toxics_work_together_and_are_removed_one_by_one(proxy):
    with connect(proxy) as sock:
        slow = proxy.latency(LONG)
        cut = proxy.limit_data(3)
        assert proxy.toxics == [slow, cut]
        sock.sendall(b"hello")
        until(lambda: proxy.to_server == 5)
        assert is_silent(sock)
        slow.remove()
        assert proxy.toxics == [cut]
        assert (slow.active, cut.active) == (False, True)
        # What latency let go of passes the limit that stands behind it.
        assert read(sock, 100) == b"hel"
    cut.remove()
    slow.remove()
    assert proxy.toxics == []


def test_a_toxic_may_be_added_twice(proxy):
    with connect(proxy) as sock:
        with proxy.latency(LONG), proxy.latency(LONG):
            sock.sendall(b"hello")
            assert is_silent(sock)
        assert read(sock, 5) == b"hello"


def test_a_block_that_fails_removes_its_toxic(proxy):
    with pytest.raises(ZeroDivisionError), proxy.latency(LONG):
        raise ZeroDivisionError
    assert proxy.toxics == []


def met_by(proxy, connections=40):
    """Return which of so many connections a toxic without reply has met."""
    met = []
    for _ in range(connections):
        with connect(proxy) as sock:
            sock.sendall(b"x")
            met.append(sock.recv(1) == b"")
    return met


def test_toxicity_is_the_share_of_connections_that_are_met(proxy):
    with proxy.limit_data(0, toxicity=0):
        assert met_by(proxy, 5) == [False] * 5
    with proxy.limit_data(0, toxicity=0.5):
        assert set(met_by(proxy)) == {True, False}
    with proxy.limit_data(0, toxicity=1):
        assert met_by(proxy, 5) == [True] * 5


def test_toxicity_is_decided_once_for_each_connection(proxy):
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(proxy)) for _ in range(20)]
        for sock in socks:
            assert ask(sock) == b"hello"
        proxy.stall(toxicity=0.5)
        for sock in socks:
            sock.sendall(b"a")
        until(lambda: proxy.to_server == 20 * 6)
        spared = [sock for sock in socks if not is_silent(sock)]
        assert 0 < len(spared) < 20
        for sock in spared:
            assert read(sock, 1) == b"a"
            for _ in range(5):
                assert ask(sock) == b"hello"


def test_the_same_seed_meets_the_same_connections(server):
    found = []
    for seed in (3, 3, 4):
        with Proxy((server.host, server.port), seed=seed) as proxy:
            proxy.limit_data(0, toxicity=0.5)
            found.append(met_by(proxy))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_heal_ends_everything(proxy):
    proxy.latency(LONG)
    proxy.timeout(stream="upstream")
    proxy.down()
    proxy.heal()
    assert proxy.toxics == []
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"


def test_a_stream_between_two_tls_ends_may_be_sliced(cold_server):
    server = cold_server("redis", tls=True)
    context = ssl.create_default_context(cafile=str(server.certificates.ca))
    with Proxy(server.url()) as proxy:
        assert proxy.url == f"rediss://127.0.0.1:{proxy.port}/0"
        proxy.slicer(7, 6)
        with connect(proxy) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
                sock.sendall(b"PING\r\n" * 100)
                assert read(sock, 700) == b"+PONG\r\n" * 100


# -- nobody there -----------------------------------------------------------------


def test_a_proxy_that_is_down_refuses_and_has_closed_what_was_open(proxy):
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
        with proxy.down():
            assert sock.recv(1) == b""
            assert proxy.open == 0
            with pytest.raises(ConnectionRefusedError):
                connect(proxy)
            proxy.down()
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
    proxy.up()
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"


def test_what_was_left_unread_does_not_turn_the_end_into_a_reset(proxy):
    with connect(proxy) as sock:
        proxy.stall(stream="upstream")
        sock.sendall(b"hello")
        until(lambda: waiting_at(proxy.port) == 5)
        with proxy.down():
            assert sock.recv(1) == b""


def test_a_proxy_that_is_down_keeps_its_port(proxy):
    with proxy.down(), socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind((proxy.host, proxy.port))


def test_toxics_outlive_an_outage(proxy):
    toxic = proxy.limit_data(2)
    with proxy.down():
        pass
    assert toxic.active
    with connect(proxy) as sock:
        sock.sendall(b"hello")
        assert read(sock, 5) == b"he"


def test_a_vanished_proxy_answers_nothing_to_anybody(proxy):
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
        with proxy.vanish():
            sock.sendall(b"late")
            assert is_silent(sock)
            with pytest.raises(TimeoutError):
                connect(proxy, 0.2)
        # A network that is back delivers what was sent.
        assert read(sock, 4) == b"late"
    assert proxy.accepted == 1
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
    assert proxy.accepted == 2


def test_a_vanished_proxy_may_go_down_and_a_down_one_may_vanish(proxy):
    proxy.vanish()
    proxy.down()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.vanish()
    with pytest.raises(TimeoutError):
        connect(proxy, 0.2)
    proxy.heal()
    assert proxy.toxics == []
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"


def test_whoever_waits_for_a_vanished_proxy_gets_in_when_it_is_back(proxy):
    with proxy.vanish():
        knocking = socket.socket()
        knocking.setblocking(False)
        knocking.connect_ex((proxy.host, proxy.port))
    with knocking:
        knocking.settimeout(10)
        select.select([], [knocking], [], 10)
        assert ask(knocking) == b"hello"
