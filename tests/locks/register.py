"""What contenders write to in the name of their fence, and what refuses late ones.

A table of a database with the one statement that the docs recommend, behind a socket:
a contender that is stopped in the middle of its write stops nobody else. The register
believes no clock and no lock.
"""

from __future__ import annotations

import socket
import socketserver
import sqlite3
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

UPDATE = "UPDATE register SET fence = ?, writer = ? WHERE name = ? AND fence <= ?"


@dataclass(frozen=True)
class Entry:
    """One try to write."""

    name: str
    fence: int
    writer: str
    accepted: bool


class Register:
    """The register, from `with` to its end; `entries` are in the order of arrival."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(":memory:", check_same_thread=False)
        self._rows.execute("CREATE TABLE register (name PRIMARY KEY, fence, writer)")
        register = self

        class Desk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    name, fence, writer = line.decode().split()
                    said = register.write(name, int(fence), writer)
                    try:
                        self.wfile.write(b"1\n" if said else b"0\n")
                    except OSError:
                        return  # who asked was killed

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 100

            def handle_error(self, *_: Any) -> None:
                """A contender that is killed hangs up without a word."""

        self._server = Server(str(path), Desk)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._rows.close()

    def write(self, name: str, fence: int, writer: str) -> bool:
        """Write, unless somebody with a larger fence has; return whether it was done."""
        with self._lock:
            self._rows.execute(
                "INSERT OR IGNORE INTO register VALUES (?, 0, '')", (name,)
            )
            done = self._rows.execute(UPDATE, (fence, writer, name, fence)).rowcount
            self.entries.append(Entry(name, fence, writer, bool(done)))
            return bool(done)

    @property
    def counts(self) -> Counter[str]:
        """How many writes were accepted, and refused."""
        return Counter(
            "accepted" if each.accepted else "refused" for each in self.entries
        )


class Writer:
    """One contender's connection to the register."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._said = self._socket.makefile("rb")

    def write(self, name: str, fence: int, writer: str) -> bool:
        """Write; return whether it was accepted."""
        self._socket.sendall(f"{name} {fence} {writer}\n".encode())
        return self._said.readline() == b"1\n"

    def close(self) -> None:
        """Hang up."""
        self._said.close()
        self._socket.close()
