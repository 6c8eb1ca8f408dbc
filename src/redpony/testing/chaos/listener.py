"""Where a proxy is reached: open, shut, or as if its host had left the network.

The place stays taken in all three states, so that nobody else gets a port which a
test will open again.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from redpony.testing.chaos.relay import Place
from redpony.wire.config import Tcp, Unix

_PATIENCE = 0.05
"""Seconds after which a connection on the loopback is not going to be let in."""


class Listener:
    """A port or a socket's path of the proxy's own; it begins open."""

    def __init__(self, address: Tcp | Unix) -> None:
        self.address = address
        self._fillers: list[socket.socket] = []
        self._bound = False
        self._place: Place
        if isinstance(address, Unix):
            self._place = (socket.AF_UNIX, address.path)
            self.sock = self._bind()
        else:
            self._place = places_of(address.host, address.port)[0]
            self.sock = self._bind()
            place = self.sock.getsockname()
            self.address = Tcp(address.host, place[1])
            self._place = (self._place[0], place)

    def open(self) -> socket.socket:
        """Take connections; returns the socket to accept from."""
        if self._fillers:
            # Not with those who fill the queue.
            self.shut()
        self.sock.listen(128)
        self.sock.setblocking(False)
        return self.sock

    def shut(self) -> None:
        """Refuse connections."""
        self.sock.close()
        self._empty()
        self.sock = self._bind()

    def vanish(self) -> None:
        """Answer nothing to whoever wants to connect, as a host that is not there."""
        self.shut()
        # With a full queue the kernel ignores who knocks. It is full once a
        # connection is left pending; one that is let in is so at once.
        self.sock.listen(0)
        while True:
            filler = socket.socket(self._place[0])
            self._fillers.append(filler)
            filler.settimeout(_PATIENCE)
            try:
                filler.connect(self._place[1])
            except TimeoutError:
                return

    def close(self) -> None:
        self.sock.close()
        self._empty()
        self._remove_path()

    def _bind(self) -> socket.socket:
        if self._bound:
            self._remove_path()
        sock = socket.socket(self._place[0])
        try:
            if isinstance(self.address, Tcp):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(self._place[1])
        except OSError:
            sock.close()
            raise
        self._bound = True
        return sock

    def _empty(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _remove_path(self) -> None:
        if isinstance(self.address, Unix):
            with contextlib.suppress(FileNotFoundError):
                Path(self.address.path).unlink()


def places_of(host: str, port: int) -> list[Place]:
    """Return the addresses that a name stands for, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(each[0], each[4]) for each in found]
