"""What there is to see of a server: for people, from any process.

Looking starts nothing, joins nothing and makes no file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redpony.embedded import locks, server, talk
from redpony.embedded.address import Embedded
from redpony.embedded.state import State, locate, verify


@dataclass(frozen=True, slots=True)
class Status:
    """A server as it was a moment ago.

    `running` says that something listens, `answering` that it also replies.
    What could not be learned is None: all about a server that does not answer,
    the users on systems that do not list locks. `users` are process ids, this
    one's among them if it has joined; `memory` is bytes, `uptime` seconds.
    """

    running: bool
    answering: bool
    pid: int | None
    supervisor_pid: int | None
    users: tuple[int, ...] | None
    version: str | None
    memory: int | None
    uptime: int | None
    clients: int | None
    socket: str
    log: str
    directory: str
    state: str
    persist: bool
    data: str | None


def status(embedded: Embedded) -> Status:
    """Return what is known of the server, running or not."""
    state = locate(embedded.directory, persist=embedded.persist)
    with suppress(FileNotFoundError):
        verify(state.root)
        verify(state.directory)
    information = _information(state)
    kind = "valkey" if "valkey_version" in information else "redis"
    version = information.get(f"{kind}_version")
    return Status(
        running=talk.listens(state.socket),
        answering=bool(information),
        pid=talk.peer(state.socket),
        supervisor_pid=_supervisor(state),
        users=_users(state),
        version=version and f"{kind} {version}",
        memory=_number(information, "used_memory"),
        uptime=_number(information, "uptime_in_seconds"),
        clients=_number(information, "connected_clients"),
        socket=str(state.socket),
        log=str(state.log),
        directory=str(state.project),
        state=str(state.directory),
        persist=state.persist,
        data=str(state.data) if state.persist else None,
    )


def log_tail(embedded: Embedded, lines: int = 20) -> list[str]:
    """Return the last lines of the server's log; none if it never ran."""
    return server.log_lines(locate(embedded.directory, persist=embedded.persist), lines)


def _information(state: State) -> dict[str, str]:
    try:
        text = talk.ask(state.socket, "INFO", timeout=1.0).decode(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}


def _number(information: dict[str, str], name: str) -> int | None:
    value = information.get(name)
    return int(value) if value and value.isdigit() else None


def _supervisor(state: State) -> int | None:
    if not locks.is_held(state.supervisor):
        return None
    try:
        return int(state.supervisor.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _users(state: State) -> tuple[int, ...] | None:
    """Read who holds a shared lock from the kernel's list of locks (Linux).

    A forked child that has not asked for the server yet stands behind its
    parent's lock and is not listed.
    """
    try:
        table = Path("/proc/locks").read_text(encoding="ascii")
        users = state.users.stat()
    except FileNotFoundError:
        return () if Path("/proc/locks").exists() else None
    device = f"{os.major(users.st_dev):02x}:{os.minor(users.st_dev):02x}"
    found: set[int] = set()
    for line in table.splitlines():
        words = line.split()
        if words[1:2] == ["FLOCK"] and words[3] == "READ":
            where, _, inode = words[5].rpartition(":")
            # Some file systems list another device than they report.
            if int(inode) == users.st_ino and (where == device or device[:2] == "00"):
                found.add(int(words[4]))
    return tuple(sorted(found))
