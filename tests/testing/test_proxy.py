"""The chaos proxy: a wire by itself, and what each of its faults does to one."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from redpony.errors import InvalidSetting
from redpony.testing.chaos import Proxy
from tests.hostile import FakeServer, reset
from tests.servers import free_port
from tests.wire.links import until, waiting_at

LONG = 3_600_000
"""An hour, in milliseconds: longer than any test."""


def echo(peer):
    while True:
        peer.send(peer.read_bytes())


def connect(peer, timeout=10.0):
    return socket.create_connection((peer.host, peer.port), timeout)


def read(sock, size):
    """Return so many bytes, or what came before the end."""
    got = b""
    while len(got) < size and (data := sock.recv(size - len(got))):
        got += data
    return got


def ask(sock, data=b"hello"):
    sock.sendall(data)
    return read(sock, len(data))


def is_silent(sock, seconds=0.05):
    return select.select([sock], [], [], seconds)[0] == []


@pytest.fixture
def server():
    with FakeServer(echo) as server:
        yield server


@pytest.fixture
def proxy(server):
    with Proxy((server.host, server.port), seed=1) as proxy:
        yield proxy


# -- a wire -------------------------------------------------------------------


def test_bytes_pass_both_ways_and_are_counted(proxy):
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
        assert (proxy.to_server, proxy.to_client) == (5, 5)
        assert (proxy.accepted, proxy.open) == (1, 1)
    until(lambda: proxy.open == 0)
    assert proxy.accepted == 1


def test_much_passes_unchanged(proxy):
    sent = bytes(range(256)) * 40_000
    with connect(proxy) as sock:
        writer = threading.Thread(target=sock.sendall, args=(sent,))
        writer.start()
        got = read(sock, len(sent))
        writer.join()
    assert got == sent


def test_one_thread_carries_all_connections(proxy):
    threads = threading.active_count()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(proxy)) for _ in range(50)]
        for number, sock in enumerate(socks):
            sock.sendall(b"%02d" % number)
        assert [int(read(sock, 2)) for sock in socks] == list(range(50))
        assert proxy.open == 50
        # The echo server has a thread for each; the proxy's is in `threads`.
        assert threading.active_count() == threads + 50


def test_a_client_that_ends_its_half_still_gets_its_answer():
    def answers_at_the_end(peer):
        while peer.sock.recv(100):
            pass
        peer.send(b"that was all")

    with FakeServer(answers_at_the_end) as server:
        with Proxy((server.host, server.port)) as proxy, connect(proxy) as sock:
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            assert read(sock, 100) == b"that was all"
            until(lambda: proxy.open == 0)


def test_a_server_that_closes_closes(proxy, server):
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
        server.close()
        assert sock.recv(1) == b""


def test_a_server_that_resets_resets():
    def resets(peer):
        peer.read_bytes()
        peer.reset()

    with FakeServer(resets) as server:
        with Proxy((server.host, server.port)) as proxy, connect(proxy) as sock:
            sock.sendall(b"hello")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_a_client_that_resets_resets():
    met = []

    def waits(peer):
        peer.send(b"x")
        try:
            met.append(peer.sock.recv(1))
        except OSError as error:
            met.append(type(error))

    with FakeServer(waits) as server, Proxy((server.host, server.port)) as proxy:
        sock = connect(proxy)
        assert read(sock, 1) == b"x"
        reset(sock)
        until(lambda: met)
    assert met == [ConnectionResetError]


def test_a_server_that_does_not_read_holds_its_client_back():
    def never_reads(peer):
        over.wait(10)

    over = threading.Event()
    with FakeServer(never_reads) as server, Proxy((server.host, server.port)) as proxy:
        with connect(proxy) as sock:
            sock.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < 200_000_000:
                    if not select.select([], [sock], [], 0.2)[1]:
                        break
                    sent += sock.send(bytes(1_000_000))
        over.set()
    # What the kernel's buffers hold, and what the proxy may keep.
    assert sent < 50_000_000


def test_a_client_of_a_server_that_is_not_there_is_let_in_and_closed():
    with Proxy(("127.0.0.1", free_port())) as proxy, connect(proxy) as sock:
        assert sock.recv(1) == b""
        until(lambda: proxy.open == 0)
        assert proxy.accepted == 1


def test_a_server_may_be_named(server):
    with Proxy(("localhost", server.port)) as proxy, connect(proxy) as sock:
        assert ask(sock) == b"hello"


def test_the_next_address_of_a_name_is_tried(server, monkeypatch):
    from redpony.testing.chaos import target

    def dead_then_alive(host, port):
        dead = (socket.AF_INET, ("127.0.0.1", free_port()))
        return [dead, (socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setattr(target, "places_of", dead_then_alive)
    with Proxy(("several.test", server.port)) as proxy, connect(proxy) as sock:
        assert ask(sock) == b"hello"


def test_a_unix_socket_may_be_the_server(valkey):
    with Proxy(valkey.socket_path) as proxy:
        with redis.Redis.from_url(proxy.url) as client:
            assert client.echo("x" * 100_000) == b"x" * 100_000


def test_it_may_listen_at_a_unix_socket(server, tmp_path):
    path = tmp_path / "s"
    with Proxy((server.host, server.port), listen=path) as proxy:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            assert ask(sock) == b"hello"
            proxy.down()
            assert sock.recv(1) == b""
        with socket.socket(socket.AF_UNIX) as sock:
            with pytest.raises(ConnectionRefusedError):
                sock.connect(str(path))
            proxy.up()
            sock.connect(str(path))
            assert ask(sock) == b"hello"
    assert not path.exists()


def test_a_file_that_stands_where_it_would_listen_is_left_alone(server, tmp_path):
    path = tmp_path / "s"
    path.write_text("somebody's")
    with pytest.raises(OSError, match="in use"):
        Proxy((server.host, server.port), listen=path)
    assert path.read_text() == "somebody's"


def test_it_may_listen_at_a_port_that_is_named(server):
    port = free_port()
    with Proxy((server.host, server.port), listen=("127.0.0.1", port)) as proxy:
        assert proxy.port == port
        with connect(proxy) as sock:
            assert ask(sock) == b"hello"


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (("127.0.0.1", 1), "redis://127.0.0.1:{port}"),
        ("redis://127.0.0.1:1/3", "redis://127.0.0.1:{port}/3"),
        ("redis://u:p%40@127.0.0.1/3", "redis://u:p%40@127.0.0.1:{port}/3"),
        ("rediss://:p@127.0.0.1:1", "rediss://:p@127.0.0.1:{port}"),
        ("valkey://127.0.0.1:1?db=2", "valkey://127.0.0.1:{port}?db=2"),
        ("unix:///run/s?db=2", "redis://127.0.0.1:{port}?db=2"),
        ("unix://:p@/run/s", "redis://:p@127.0.0.1:{port}"),
        (Path("/run/s"), "redis://127.0.0.1:{port}"),
    ],
)
def test_its_url_is_the_servers_with_another_place(target, url):
    with Proxy(target) as proxy:
        assert proxy.url == url.format(port=proxy.port)


@pytest.mark.parametrize(
    ("target", "tail"),
    [
        ("redis://127.0.0.1:1/3", "?db=3"),
        ("redis://127.0.0.1:1/3?timeout=4", "?db=3&timeout=4"),
        ("unix:///run/s?db=2", "?db=2"),
        (("127.0.0.1", 1), ""),
    ],
)
def test_its_url_names_the_path_where_it_listens_at_one(target, tail, tmp_path):
    with Proxy(target, listen=tmp_path / "s") as proxy:
        assert proxy.url == f"unix://{tmp_path}/s{tail}"


def test_a_closed_proxy_has_closed_everything_and_says_so(server):
    proxy = Proxy((server.host, server.port))
    with connect(proxy) as sock:
        assert ask(sock) == b"hello"
        proxy.close()
        assert sock.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.close()
    with pytest.raises(RuntimeError, match="closed"):
        proxy.latency(1)


def test_a_process_that_forgets_its_proxy_ends(server):
    code = (
        "from redpony.testing.chaos import Proxy\n"
        f"proxy = Proxy(('127.0.0.1', {server.port}))\n"
        "proxy.latency(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=True)
    assert done.returncode == 0


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


# -- arguments that make no sense ---------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda proxy: proxy.latency(-1), "latency: ms is a number, 0 or more, not -1"),
        (lambda proxy: proxy.latency("1"), "latency: ms is a number, .* not '1'"),
        (lambda proxy: proxy.latency(True), "latency: ms is a number, .* not True"),
        (lambda proxy: proxy.latency(1, jitter=float("nan")), "jitter .* not nan"),
        (lambda proxy: proxy.latency(float("inf")), "latency: ms .* not inf"),
        (lambda proxy: proxy.bandwidth(0), "bandwidth: rate_kb .* more than 0, not 0"),
        (lambda proxy: proxy.slicer(0), "average_size is a whole number, 1 or more"),
        (lambda proxy: proxy.slicer(1.5), "average_size is a whole number"),
        (lambda proxy: proxy.slicer(4, 4), "size_variation must be less than average"),
        (lambda proxy: proxy.slicer(4, delay_us=-1), "slicer: delay_us .* not -1"),
        (lambda proxy: proxy.limit_data(-1), "limit_data: bytes .* 0 or more, not -1"),
        (lambda proxy: proxy.limit_data(0.5), "limit_data: bytes is a whole number"),
        (lambda proxy: proxy.timeout(-1), "timeout: ms"),
        (lambda proxy: proxy.reset_peer(None), "reset_peer: ms .* not None"),
        (lambda proxy: proxy.slow_close(-1), "slow_close: ms"),
        (lambda proxy: proxy.latency(1, stream="up"), "\"upstream\" .* not 'up'"),
        (lambda proxy: proxy.latency(1, toxicity=2), "toxicity .* from 0 to 1, not 2"),
        (lambda proxy: proxy.stall(toxicity="x"), "stall.*toxicity .* not 'x'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(call, says, proxy):
    with pytest.raises(InvalidSetting, match=says):
        call(proxy)
    assert proxy.toxics == []


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (6379, "stands before .host, port., a URL or the path"),
        ("127.0.0.1:6379", "not '127.0.0.1:6379'"),
        (("127.0.0.1", "6379"), "not .'127.0.0.1', '6379'."),
        (("127.0.0.1", 70_000), "not .'127.0.0.1', 70000."),
        ("embedded://", "one server; embedded:// names none"),
        ("redis+cluster://127.0.0.1:1", "one server; .* for several there is Proxies"),
        ("http://127.0.0.1", "http"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(target, says):
    with pytest.raises(InvalidSetting, match=says):
        Proxy(target)


def test_a_password_in_a_wrong_target_is_not_shown():
    with pytest.raises(InvalidSetting) as caught:
        Proxy(":secret@127.0.0.1:6379")
    assert "secret" not in str(caught.value)


def test_a_path_cannot_vanish(server, tmp_path):
    with Proxy((server.host, server.port), listen=tmp_path / "s") as proxy:
        with pytest.raises(InvalidSetting, match="let it listen on a port"):
            proxy.vanish()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "s"))
            assert ask(sock) == b"hello"


def test_proxies_and_toxics_say_what_they_are(proxy, server):
    there = f"127.0.0.1:{server.port}"
    assert repr(proxy) == f"<Proxy at 127.0.0.1:{proxy.port} before {there}>"
    toxic = proxy.latency(100, jitter=20, toxicity=0.5)
    assert repr(toxic) == "<latency(ms=100, jitter=20) downstream, toxicity 0.5>"
