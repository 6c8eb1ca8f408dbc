"""The chaos proxy as a wire: what one side does, the other meets; and where it is."""

from __future__ import annotations

import contextlib
import select
import socket
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
from tests.testing.echo import ask, connect, echo, read
from tests.wire.links import until


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
