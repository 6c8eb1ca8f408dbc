"""Blocking byte streams with a point in time at which they give up.

`PolledStream` is the plain one: the socket is in blocking mode, `poll` waits (it
starts again with the rest of the time after a signal; `SO_RCVTIMEO` would start
with all of it) and one system call moves the data. `TimedStream` uses the
socket's own time-outs: for TLS, for gevent's sockets, and where there is no
`poll`.

`expires` is a `time.monotonic()` value. Running past it raises `TimeoutError`,
a lost peer `OSError` or `EOFError`. Closing never says goodbye: no shutdown and
no TLS close_notify, because after a fork the parent still owns the session.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import time
from typing import Any, Protocol

from redpony.errors import DeadlineExceeded, Unavailable, Unreachable
from redpony.interrupts import is_interrupt
from redpony.wire import naming, tls
from redpony.wire.config import LinkConfig, Tcp, Unix

CHUNK = 65536
OVERRUN = 0.25
"""How long past its time, in seconds, an answer that keeps coming is still read."""
_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)
_GONE = getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLIN", 0)


class Stream(Protocol):
    """What a connection needs of its socket."""

    def send(self, data: bytes, expires: float) -> None: ...
    def receive(self, expires: float) -> bytes: ...
    def receive_within(self, seconds: float) -> bytes: ...
    def is_stale(self) -> bool: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


class PolledStream:
    """A plain socket: one `send`, one `poll` and one `recv` a round trip."""

    __slots__ = ("_poll", "_recv", "_send", "_socket")

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        self._socket = sock
        self._send = sock.send
        self._recv = sock.recv
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        self._poll = poller.poll

    def send(self, data: bytes, expires: float) -> None:
        try:
            sent = self._send(data, _DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            self._send_rest(data, sent, expires)

    def _send_rest(self, data: bytes, sent: int, expires: float) -> None:
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT)
        view = memoryview(data)
        while sent < len(data):
            left = expires - time.monotonic()
            if left <= 0 or not poller.poll(left * 1000 + 1):
                raise TimeoutError
            with contextlib.suppress(BlockingIOError):
                sent += self._send(view[sent : sent + 4 * CHUNK], _DONTWAIT)

    def receive(self, expires: float) -> bytes:
        left = expires - time.monotonic()
        if left < -OVERRUN:
            raise TimeoutError
        # What has arrived is still taken.
        if not self._poll(max(0, left) * 1000):
            raise TimeoutError
        data = self._recv(CHUNK)
        if not data:
            raise EOFError
        return data

    def receive_within(self, seconds: float) -> bytes:
        if not self._poll(seconds * 1000):
            raise TimeoutError
        data = self._recv(CHUNK)
        if not data:
            raise EOFError
        return data

    def is_stale(self) -> bool:
        """Whether an idle connection has something to say: its end, as a rule."""
        return bool(self._poll(0))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def abandon(self) -> None:
        abandon_socket(self._socket)


class TimedStream:
    """TLS, gevent, or no `poll`: the socket's own time-outs."""

    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, data: bytes, expires: float) -> None:
        self._socket.settimeout(max(expires - time.monotonic(), 0.001))
        self._socket.sendall(data)

    def receive(self, expires: float) -> bytes:
        left = expires - time.monotonic()
        if left < -OVERRUN:
            raise TimeoutError
        self._socket.settimeout(max(left, 0.001))
        data = self._socket.recv(CHUNK)
        if not data:
            raise EOFError
        return data

    def receive_within(self, seconds: float) -> bytes:
        return self.receive(time.monotonic() + seconds)

    def is_stale(self) -> bool:
        self._socket.settimeout(0)
        try:
            data = self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        # End of file, or bytes that nobody asked for: of no use either way.
        return not data or bool(data)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def abandon(self) -> None:
        abandon_socket(self._socket)


def abandon_socket(sock: socket.socket) -> None:
    """Let go of a forked copy without a word to the peer.

    The descriptor number stays taken (it points to nothing now), so nothing
    that still refers to it can hit a file that was opened later.
    """
    try:
        number = sock.fileno()
        if number < 0:
            return
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, number, inheritable=False)
        os.close(null)
    except OSError:
        pass


def tune(sock: socket.socket, config: LinkConfig) -> None:
    """Send small commands at once, and notice peers that are gone."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if config.keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", 60),
            ("TCP_KEEPINTVL", 20),
            ("TCP_KEEPCNT", 3),
        ):
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def settle(config: LinkConfig) -> Tcp | Unix:
    """Return the address to connect to now; may start an embedded server."""
    address = config.address
    if isinstance(address, (Tcp, Unix)):
        return address
    return address.resolve()


def connect(config: LinkConfig, address: Tcp | Unix, expires: float) -> Stream:
    """Open a stream to the address that `settle` returned, before `expires`."""
    if isinstance(address, Unix):
        sock = _connect(socket.AF_UNIX, address.path, config, expires)
    else:
        sock = _connect_tcp(address, config, expires)
    try:
        if config.tls is not None and isinstance(address, Tcp):
            sock.settimeout(max(expires - time.monotonic(), 0.001))
            sock = tls.context(config.tls).wrap_socket(
                sock, server_hostname=config.tls.server_name or address.host
            )
            return TimedStream(sock)
        return plain(sock)
    except BaseException:
        sock.close()
        raise


def plain(sock: socket.socket) -> Stream:
    """Return the stream for a connected socket without TLS."""
    native = type(sock).__module__ in ("socket", "_socket")
    if native and hasattr(select, "poll") and _DONTWAIT:
        return PolledStream(sock)
    return TimedStream(sock)


def _connect_tcp(address: Tcp, config: LinkConfig, expires: float) -> socket.socket:
    found = naming.look_up(address.host, address.port, expires - time.monotonic())
    last: Exception | None = None
    for family, _, _, _, target in found:
        try:
            return _connect(family, target, config, expires)
        except Unavailable as error:
            last = error
    raise last or Unavailable(f"{address.host!r} has no address")


def _connect(
    family: int, target: Any, config: LinkConfig, expires: float
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        left = expires - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        sock.connect(target)
        tune(sock, config)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError) and not is_interrupt(error):
            raise cannot_connect(config, error) from error
        raise
    return sock


class UnreachableInTime(Unreachable, DeadlineExceeded):
    """Nobody answered at the address: unreachable, and late."""


def cannot_connect(
    config: LinkConfig, error: BaseException, *, accepted: bool = False
) -> Unavailable:
    """Return the error for a server that could not be reached.

    `accepted`: there was a connection already.
    """
    if isinstance(error, Unavailable):
        return error
    if isinstance(error, TimeoutError):
        return UnreachableInTime(
            f"{config.address} could not be reached within "
            f"{config.connect_timeout:g} s (CONNECT_TIMEOUT)",
            outcome="not_sent",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"The certificate of {config.address} is not accepted: "
            f"{error.verify_message}",
            outcome="not_sent",
        )
    if isinstance(error, ssl.SSLError):
        return Unreachable(
            f"{config.address} does not speak TLS as it should "
            f"({error.reason or error}); is it a plain port, for redis:// instead "
            "of rediss://?",
            outcome="not_sent",
        )
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    if isinstance(error, EOFError):
        why = "it closed the connection"
    failure = Unreachable(
        f"{config.address} cannot be reached ({why}); is the server running, and "
        "is LOCATION right?" + config.hint,
        outcome="not_sent",
    )
    failure.refused = isinstance(error, (ConnectionRefusedError, FileNotFoundError))
    failure.dropped = accepted
    return failure
