"""How many requests a server gets, as MONITOR sees them.

The server's own counters add what scripts call to what clients ask; MONITOR tells them
apart. It costs the server something for each request, so it is used where few are
expected, and not where times are taken.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Self

from benchmarks.servers import HOST

FROM_SCRIPTS = b" lua] "


class Requests:
    """A count of the requests of all clients, over a `with` block."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._last = f"the-last-{time.monotonic_ns()}".encode()
        self._monitor = socket.create_connection((HOST, port))
        self._monitor.sendall(b"MONITOR\r\n")
        assert self._monitor.recv(5) == b"+OK\r\n"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with socket.create_connection((HOST, self._port)) as one_more:
            one_more.sendall(b"ECHO %b\r\n" % self._last)
            self._thread.join()
        self._monitor.close()

    def _read(self) -> None:
        with self._monitor.makefile("rb") as lines:
            for line in lines:
                if self._last in line:
                    return
                self.count += FROM_SCRIPTS not in line
