"""Peers that misbehave: fake servers, each a thread of the test process.

`FakeServer` follows a script, one for each connection that it accepts: a
function that is handed the `Peer` and may read, answer, cut, reset or go
silent. `FullBacklog` is a port on which no connection is ever accepted.

Both are context managers; leaving one closes every socket and ends every thread.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import hiredis

Script = Callable[["Peer"], object]

PONG = b"+PONG\r\n"
OK = b"+OK\r\n"
HELLO = (
    b"%7\r\n+server\r\n+redis\r\n+version\r\n+7.0.15\r\n+proto\r\n:3\r\n+id\r\n:7\r\n"
    b"+mode\r\n+standalone\r\n+role\r\n+master\r\n+modules\r\n*0\r\n"
)
"""What a server of today answers to HELLO 3."""

_HANDSHAKE = (b"HELLO", b"CLIENT", b"AUTH", b"SELECT")


class Ended(Exception):
    """The other side, or the test, has closed the connection."""


def reset(sock: socket.socket) -> None:
    """Close a socket with RST in place of FIN."""
    linger = struct.pack("ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sock.close()


class Peer:
    """A fake server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        """0 for the first connection that the server accepted."""
        self._reader = hiredis.Reader()

    def read(self) -> list[bytes]:
        """Return the next command that the client sent; raise `Ended` at its end."""
        while (command := self._reader.gets()) is False:
            self._reader.feed(self.read_bytes())
        return list(command)

    def read_bytes(self) -> bytes:
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise Ended from error
        if not data:
            raise Ended
        return data

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Ended from error

    def send_split(self, data: bytes, sizes: Iterable[int]) -> None:
        """Send in pieces of these sizes, each in a segment of its own."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = 0
        for size in sizes:
            self.send(data[start : start + size])
            start += size
        if start < len(data):
            self.send(data[start:])

    def greet(self, hello: bytes = HELLO) -> list[bytes]:
        """Answer the handshake; return the first command after it."""
        while True:
            command = self.read()
            word = command[0].upper()
            if word not in _HANDSHAKE:
                return command
            self.send(hello if word == b"HELLO" else OK)

    def silence(self) -> None:
        """Read whatever comes and answer nothing, until the client goes away."""
        while True:
            self.read_bytes()

    def reset(self) -> None:
        """Close with RST: the client meets ECONNRESET, not an end of file."""
        reset(self.sock)

    def close(self) -> None:
        self.sock.close()


def answers(*replies: bytes, hello: bytes | None = HELLO) -> Script:
    """Return a script that answers the handshake, then one reply a command.

    With `hello=None` every command, the handshake's too, takes a reply. When the
    replies are used up the connection is closed.
    """

    def script(peer: Peer) -> None:
        for reply in replies:
            peer.read() if hello is None else peer.greet(hello)
            peer.send(reply)

    return script


def silent(peer: Peer) -> None:
    """Accept, read, and never answer."""
    peer.silence()


def resets(peer: Peer) -> None:
    """Reset the connection as soon as the first bytes have come."""
    peer.read_bytes()
    peer.reset()


class FakeServer:
    """A TCP server that runs a script for each connection.

    One script serves all; of several, each serves one connection in turn and the
    last one the rest. What a script raises is raised where the block ends.
    """

    def __init__(self, *scripts: Script) -> None:
        self.scripts: Sequence[Script] = scripts or (silent,)
        self.errors: list[BaseException] = []
        self.accepted = 0
        self._changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()[:2]
        self._open = True
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def wait_accepted(self, count: int, timeout: float = 5) -> None:
        """Wait until so many connections have been accepted."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.accepted >= count, timeout):
                raise TimeoutError(f"{self.accepted} of {count} connections came")

    def close(self) -> None:
        self._open = False
        _close(self._listener)
        with self._changed:
            sockets = list(self._sockets)
        for sock in sockets:
            _close(sock)
        for thread in self._threads:
            thread.join(5)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._open:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                number = self.accepted
                self.accepted += 1
                self._sockets.add(sock)
                self._changed.notify_all()
            self._spawn(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        script = self.scripts[min(number, len(self.scripts) - 1)]
        try:
            script(Peer(sock, number))
        except Ended:
            pass
        except BaseException as error:  # shown by the test, not by the thread
            if self._open:
                self.errors.append(error)
        finally:
            sock.close()
            with self._changed:
                self._sockets.discard(sock)


class FullBacklog:
    """A port whose queue is full: the kernel drops every SYN, as a dead host would."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.host, self.port = self._listener.getsockname()[:2]
        self._fillers: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def __enter__(self) -> Self:
        # The queue is full once a connection stays pending on the loopback,
        # where one that is let in completes at once.
        while True:
            filler = socket.socket()
            filler.settimeout(0.2)
            self._fillers.append(filler)
            try:
                filler.connect((self.host, self.port))
            except TimeoutError:
                return self

    def __exit__(self, *exc: object) -> None:
        for sock in (*self._fillers, self._listener):
            sock.close()


def _close(sock: socket.socket) -> None:
    """Close a socket that another thread may be reading: wake that thread first."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
