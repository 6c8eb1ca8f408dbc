"""TCP, unix sockets and TLS, in both colours."""

from __future__ import annotations

import datetime
import gc
import socket
import ssl
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
import trustme

from redpony.commands import ECHO, GET, PING, SET
from redpony.errors import InvalidSetting, Unavailable, Unreachable
from redpony.wire.config import Tcp, Tls, Unix
from redpony.wire.tls import context
from tests.hostile import FakeServer, Peer
from tests.proxy import Proxy
from tests.servers import Server, free_port
from tests.wire.conftest import MakeWire
from tests.wire.links import INCR, until


@pytest.fixture(scope="module")
def secure() -> Any:
    with Server("redis", tls=True) as server:
        yield server


def trusting(server: Server, **more: Any) -> Tls:
    assert server.certificates is not None
    return Tls(ca_file=str(server.certificates.ca), **more)


def option(sock: socket.socket, name: str) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


# -- TCP --------------------------------------------------------------------


def test_small_commands_leave_at_once_and_dead_peers_are_noticed(
    wire: MakeWire, server: Server
) -> None:
    link = wire(server)
    link.ask(PING())
    assert option(link.socket, "TCP_NODELAY") == 1
    assert link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    # Hosts cut idle connections after minutes: the probes come before.
    assert option(link.socket, "TCP_KEEPIDLE") <= 60
    assert option(link.socket, "TCP_KEEPINTVL") <= 30
    assert option(link.socket, "TCP_KEEPCNT") <= 5


def test_keepalive_can_be_left_off(wire: MakeWire, server: Server) -> None:
    link = wire(server, keepalive=False)
    link.ask(PING())
    assert link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    assert option(link.socket, "TCP_NODELAY") == 1


def test_a_server_may_be_named(wire: MakeWire, server: Server) -> None:
    link = wire(address=Tcp("localhost", server.port))
    assert link.ask(PING()) == b"PONG"


def test_a_refused_connection_says_what_to_look_at(wire: MakeWire) -> None:
    port = free_port()
    met = wire(address=Tcp("127.0.0.1", port), hint=" Try embedded://.").meet(PING())
    assert isinstance(met, Unreachable)
    assert f"127.0.0.1:{port}" in str(met)
    assert "LOCATION" in str(met)
    assert str(met).endswith("Try embedded://.")


# -- unix sockets -----------------------------------------------------------


def test_a_unix_socket_serves(wire: MakeWire, server: Server) -> None:
    link = wire(address=Unix(server.socket_path), db=3)
    value = bytes(range(256)) * 4000
    link.ask(SET(b"k", value))
    assert link.ask(GET(b"k")) == value
    replies = link.ask_all(*[ECHO(value)] * 5)
    assert replies.check() == [value] * 5
    assert server.ask("STRLEN", "k", db=3) == len(value)
    server.ask("CLIENT", "KILL", "USER", "default")
    until(lambda: server.users() == [])
    assert link.ask(INCR(b"n")) == 1


def test_a_unix_socket_that_there_is_not_is_named(
    wire: MakeWire, tmp_path: Path
) -> None:
    path = tmp_path / "nothing"
    met = wire(address=Unix(str(path))).meet(INCR(b"n"))
    assert isinstance(met, Unreachable)
    assert met.outcome == "not_sent"
    assert str(path) in str(met)


def test_a_unix_socket_that_nobody_serves_is_unreachable(
    wire: MakeWire, tmp_path: Path
) -> None:
    path = str(tmp_path / "left")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    met = wire(address=Unix(path)).meet(INCR(b"n"))
    assert isinstance(met, Unreachable)


# -- TLS --------------------------------------------------------------------


def test_tls_serves(wire: MakeWire, secure: Server) -> None:
    secure.flush()
    link = wire(secure, tls=trusting(secure))
    value = bytes(range(256)) * 4000
    link.ask(SET(b"k", value))
    assert link.ask(GET(b"k")) == value
    assert link.ask_all(*[ECHO(value)] * 5).check() == [value] * 5
    assert link.opened == 1
    assert option(link.socket, "TCP_NODELAY") == 1


def test_an_idle_tls_connection_that_was_closed_costs_nothing(
    wire: MakeWire, secure: Server
) -> None:
    secure.flush()
    link = wire(secure, tls=trusting(secure))
    for count in range(1, 4):
        assert link.ask(INCR(b"n")) == count
        secure.ask("CLIENT", "KILL", "USER", "default")
        until(lambda: secure.users() == [])


def test_a_mutation_cut_within_its_encrypted_reply_has_happened_once(
    wire: MakeWire, secure: Server
) -> None:
    secure.flush()
    with Proxy((secure.host, secure.port)) as proxy:
        for count, cut in enumerate((0, 1, 10), 1):
            link = wire(proxy, tls=trusting(secure))
            link.ask(PING())
            proxy.cut_after(cut)
            met = link.meet(INCR(b"n"))
            proxy.heal()
            assert isinstance(met, Unavailable)
            assert met.outcome == "unknown"
            assert int(secure.ask("GET", "n")) == count


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"server_name": "elsewhere.test"}, "elsewhere.test"),
        ({"ca_file": None}, "self-signed certificate|unable to get"),
    ],
    ids=["another host", "an unknown authority"],
)
def test_a_certificate_that_does_not_fit_is_refused_once_and_for_all(
    fault: dict[str, Any], why: str, wire: MakeWire, secure: Server
) -> None:
    secure.flush()
    with Proxy((secure.host, secure.port)) as proxy:
        given = {"ca_file": trusting(secure).ca_file, **fault}
        link = wire(proxy, tls=Tls(**given), retries=3)
        with pytest.raises(Unreachable, match=why) as caught:
            link.ask(INCR(b"n"))
        assert "certificate" in str(caught.value).lower()
        assert caught.value.outcome == "not_sent"
        # Neither again, nor in plain text.
        assert proxy.accepted == 1
        assert secure.ask("EXISTS", "n") == 0
        assert link.opened == 0


@pytest.mark.parametrize(
    "loose",
    [
        {"verify": False, "server_name": "elsewhere.test"},
        {"check_hostname": False, "server_name": "elsewhere.test"},
    ],
)
def test_a_check_may_be_left_out_by_choice(
    loose: dict[str, Any], wire: MakeWire, secure: Server
) -> None:
    assert wire(secure, tls=trusting(secure, **loose)).ask(PING()) == b"PONG"


def test_an_expired_certificate_is_refused(wire: MakeWire, tmp_path: Path) -> None:
    authority = trustme.CA()
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    issued = authority.issue_cert("127.0.0.1", not_after=yesterday)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(context)

    def expired(peer: Peer) -> None:
        try:
            context.wrap_socket(peer.sock.dup(), server_side=True).close()
        except OSError:
            return

    with FakeServer(expired) as server:
        link = wire(server, tls=Tls(ca_file=str(tmp_path / "ca.pem")))
        with pytest.raises(Unreachable, match="expired"):
            link.ask(PING())
        assert server.accepted == 1


def test_a_plain_port_is_no_tls_server_and_is_not_spoken_to_plainly(
    wire: MakeWire, server: Server
) -> None:
    with Proxy((server.host, server.port)) as proxy:
        link = wire(proxy, tls=Tls(), connect_timeout=0.5)
        with server.counting() as counted:
            met = link.meet(INCR(b"n"))
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"
        assert counted.commands == {}
        assert proxy.accepted == 1


def test_a_tls_port_is_no_plain_server(wire: MakeWire, secure: Server) -> None:
    secure.flush()
    met = wire(secure, connect_timeout=0.5).meet(INCR(b"n"))
    assert isinstance(met, Unavailable)
    assert met.outcome == "not_sent"
    assert secure.ask("EXISTS", "n") == 0


def test_a_client_certificate_is_shown(wire: MakeWire, cold_server: Any) -> None:
    server = cold_server("redis", tls=True)
    server.ask("CONFIG", "SET", "tls-auth-clients", "yes")
    known = trusting(
        server,
        cert_file=str(server.certificates.client_certificate),
        key_file=str(server.certificates.client_key),
    )
    assert wire(server, tls=known).ask(INCR(b"n")) == 1
    met = wire(server, tls=trusting(server)).meet(INCR(b"n"))
    assert isinstance(met, Unavailable)
    assert met.outcome == "not_sent"
    assert int(server.ask("GET", "n")) == 1


def test_tls_files_that_cannot_be_read_are_a_setting_to_mend(
    wire: MakeWire, secure: Server, tmp_path: Path
) -> None:
    met = wire(secure, tls=Tls(ca_file=str(tmp_path / "none.pem"))).meet(PING())
    assert isinstance(met, InvalidSetting)


def test_the_protocol_is_tls_1_2_at_least() -> None:
    from redpony.wire.tls import context

    assert context(Tls()).minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context(Tls()).verify_mode is ssl.CERT_REQUIRED
    assert context(Tls()).check_hostname


def test_what_a_peer_resets_before_the_handshake_leaves_no_socket_open() -> None:
    """`wrap_socket` raises then, and nobody else has the socket that it made."""
    linger = struct.pack("ii", 1, 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.close()

    def is_reset() -> bool:
        try:
            sock.getpeername()
        except OSError:
            return True
        return False

    until(is_reset)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(OSError, match="reset"):
            context(Tls()).wrap_socket(sock, server_hostname="127.0.0.1")
        gc.collect()
    assert [str(each.message) for each in told] == []
