"""A TCP proxy that stands before a real server and hurts what passes.

Each connection is one thread, and only that thread touches the connection's
sockets: the test sets what should happen and wakes it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Self

from tests.hostile import reset


class Proxy:
    """A port of its own for a server, with faults to switch on.

    Faults hold for connections that exist and for those to come, until `heal()`:

    * `stall()`: bytes are taken and kept back; `heal()` delivers them.
    * `cut()`: every connection is closed, and new ones as soon as they come.
    * `reset()`: the same with RST.
    * `cut_after(count)`: all connections end after so many more bytes to clients.
    * `chop(size)`: what goes to clients is sent in pieces of this size.

    `accepted` counts connections, `to_server` and `to_client` bytes.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.accepted = self.to_server = self.to_client = 0
        self._lock = threading.Lock()
        self._wakers: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stalled = False
        self._ending: Callable[[socket.socket], None] | None = None
        self._budget: int | None = None
        self._piece: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()[:2]
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def stall(self) -> None:
        self._stalled = True
        self._wake()

    def cut(self) -> None:
        self._ending = socket.socket.close
        self._wake()

    def reset(self) -> None:
        self._ending = reset
        self._wake()

    def cut_after(self, count: int) -> None:
        self._budget = count

    def chop(self, size: int) -> None:
        self._piece = size

    def heal(self) -> None:
        self._stalled = False
        self._ending = self._budget = self._piece = None
        self._wake()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _wake(self) -> None:
        with self._lock:
            for waker in self._wakers:
                waker.send(b"!")

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                client.close()
                continue
            self._spawn(self._carry, client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        woken, waker = socket.socketpair()
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(5)
        with self._lock:
            self._wakers.add(waker)
        try:
            with contextlib.suppress(OSError):
                self._move(client, server, woken)
        finally:
            with self._lock:
                self._wakers.discard(waker)
            for sock in (server, waker, woken):
                sock.close()
            (self._ending or socket.socket.close)(client)

    def _move(
        self, client: socket.socket, server: socket.socket, woken: socket.socket
    ) -> None:
        """Move bytes both ways until a side ends or a fault ends it."""
        with selectors.DefaultSelector() as ready:
            for sock in (client, server, woken):
                ready.register(sock, selectors.EVENT_READ)
            while self._ending is None:
                for key, _ in ready.select():
                    if key.fileobj is woken:
                        woken.recv(64)
                    elif self._stalled:
                        # Level-triggered: wait for the waker alone, not in a spin.
                        with selectors.DefaultSelector() as wake:
                            wake.register(woken, selectors.EVENT_READ)
                            wake.select()
                    elif key.fileobj is client:
                        data = client.recv(65536)
                        if not data:
                            return
                        self.to_server += len(data)
                        server.sendall(data)
                    elif not self._deliver(server.recv(65536), client):
                        return

    def _deliver(self, data: bytes, client: socket.socket) -> bool:
        """Send on to the client; return False where that was the end."""
        whole = bool(data)
        with self._lock:
            if self._budget is not None:
                whole = len(data) < self._budget
                data = data[: self._budget]
                self._budget -= len(data)
        self.to_client += len(data)
        piece = self._piece or len(data) or 1
        for start in range(0, len(data), piece):
            client.sendall(data[start : start + piece])
        return whole and bool(data)
