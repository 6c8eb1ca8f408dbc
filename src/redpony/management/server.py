"""`manage.py redpony server`: the embedded server of this project."""

from __future__ import annotations

import threading
from collections.abc import Callable

from redpony import embedded
from redpony.conf import alias_config
from redpony.conf.project import backends
from redpony.errors import InvalidSetting
from redpony.management.text import columns, size, span


def find(alias: str | None) -> embedded.Embedded:
    """Return the server of an alias, or of the first alias that has one.

    Raises `InvalidSetting` if it is not embedded.
    """
    names = [alias] if alias else [each.alias for each in backends("Redpony")]
    for name in names:
        address = alias_config(name).link.address
        if isinstance(address, embedded.Embedded):
            return address
    if alias:
        raise InvalidSetting(f'LOCATION of CACHES["{alias}"] is not embedded://')
    raise InvalidSetting("No alias of CACHES has LOCATION embedded://")


def show(server: embedded.Embedded) -> tuple[bool, list[str]]:
    """Return whether it runs, and what there is to see of it."""
    seen = embedded.status(server)
    if not seen.running:
        state = "not running: it starts with its first use"
    elif not seen.answering:
        state = "running, and does not answer"
    else:
        state = f"running for {span(seen.uptime)}"
    rows = [("state", state)]
    if seen.running:
        users = seen.users
        rows += [
            ("server", f"{seen.version or 'unknown'}, process {seen.pid or 'unknown'}"),
            ("supervisor", f"process {seen.supervisor_pid or 'unknown'}"),
            (
                "users",
                "unknown"
                if users is None
                else f"{len(users)} processes ({', '.join(map(str, users))})"
                if users
                else "none: it ends in a moment",
            ),
            ("memory", size(seen.memory)),
        ]
    rows += [
        ("project", seen.directory),
        ("data", seen.data or "not kept (embedded://?persist=1 keeps them)"),
        ("socket", seen.socket),
        ("log", seen.log),
    ]
    return seen.running and seen.answering, list(columns(rows))


def start(server: embedded.Embedded, say: Callable[[str], None]) -> None:
    """Start or join it, and stay one of its users until interrupted."""
    try:
        where = server.resolve()
        for line in show(server)[1]:
            say(line)
        say("")
        say(f"Redis commands by hand: redis-cli -s {where.path}")
        say("Ctrl-C ends this. The server ends when its last user is gone.")
        threading.Event().wait()
    except KeyboardInterrupt:
        say("")


def stop(server: embedded.Embedded) -> list[str]:
    """End it now, whoever uses it."""
    if embedded.stop(server):
        return ["Stopped. A process that still uses it starts another."]
    return ["It was not running."]


def log(server: embedded.Embedded, lines: int) -> list[str]:
    """Return the end of its log."""
    return embedded.log_tail(server, lines) or ["The log is empty."]
