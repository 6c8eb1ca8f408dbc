"""A few words with the server: is it there, who is it, how is it.

Each conversation is one connection, blocking, with a time-out in seconds. The
wire does the work; this is for starting, ending and showing the server.
"""

from __future__ import annotations

import socket
import struct
import sys
from enum import Enum
from pathlib import Path


class Presence(Enum):
    """What was found at the socket."""

    ABSENT = "nothing listens"
    SILENT = "something listens and does not answer"
    LOADING = "the server reads its data"
    READY = "the server answers"


def listens(path: Path) -> bool:
    """Whether something listens; asks it nothing."""
    try:
        _connect(path, 0.5).close()
    except (BlockingIOError, TimeoutError):
        return True
    except OSError:
        return False
    return True


def presence(path: Path, patience: float) -> Presence:
    """Say what is at the socket; any answer counts as one."""
    try:
        answer = ask(path, "PING", timeout=patience)
    except (BlockingIOError, TimeoutError):
        # A full backlog counts as silence: something is there.
        return Presence.SILENT
    except OSError:
        return Presence.ABSENT
    if not answer:
        return Presence.ABSENT
    return Presence.LOADING if answer.startswith(b"-LOADING") else Presence.READY


def ask(path: Path, *words: str, timeout: float) -> bytes:
    """Return the text of the answer, errors with their `-`; empty if it hung up.

    Raises `OSError` if nothing listens and `TimeoutError` for silence.
    """
    request = b"*%d\r\n" % len(words)
    for word in words:
        encoded = word.encode()
        request += b"$%d\r\n%b\r\n" % (len(encoded), encoded)
    with _connect(path, timeout) as connection, connection.makefile("rb") as reader:
        connection.sendall(request)
        line: bytes = reader.readline()
        if line.startswith(b"$"):
            return reader.read(int(line[1:]))
        return line.removesuffix(b"\r\n")


def peer(path: Path) -> int | None:
    """Return the process id of the server, as the kernel knows it.

    None if nothing listens, or if the process is not visible from here (it
    runs in another container).
    """
    try:
        with _connect(path, 0.5) as connection:
            return _peer(connection) or None
    except OSError:
        return None


def _peer(connection: socket.socket) -> int:
    if sys.platform == "linux":
        form = struct.Struct("3i")
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size)
        return int(form.unpack(raw)[0])
    else:  # noqa: RET505  (so that type checkers see one system at a time)
        return int(connection.getsockopt(0, 2))  # macOS: SOL_LOCAL, LOCAL_PEERPID


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection
