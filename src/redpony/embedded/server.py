"""Starting, joining, adopting and ending the one server of a project.

The callers of `ensure` are users already (they hold the shared lock), so a
server that answers stays: its supervisor cannot end it under them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from redpony.embedded import binary, locks, stamp, supervisor, talk
from redpony.embedded.binary import Binary
from redpony.embedded.state import REMEDY, State
from redpony.embedded.talk import Presence
from redpony.errors import InvalidSetting, Unavailable
from redpony.events import Server

START_SECONDS = 15.0
"""Longest wait for a start, others' included; it takes a twentieth of a second."""

GRACE_SECONDS = 2.0
"""How long a server without users is kept: an autoreloader's pause."""

SILENCE_SECONDS = 3.0
"""A server that says nothing for so long hangs."""

MEMORY = "256mb"

_POLL = 0.005


def ensure(state: State, deadline: float) -> list[Server]:
    """Make sure that a server with a supervisor answers; return what happened.

    Raises `Unavailable` if it hangs or does not come up, `InvalidSetting` if it
    cannot be started at all.
    """
    found = talk.presence(state.socket, SILENCE_SECONDS)
    if (
        found is Presence.READY
        and locks.is_held(state.supervisor)
        and not stamp.outdated(state)
    ):
        return [Server("", "joined", str(state.socket))]
    with locks.held(state.start, deadline):
        return _ensure(state, deadline)


def _ensure(state: State, deadline: float) -> list[Server]:
    news: list[Server] = []
    while True:
        found = talk.presence(state.socket, SILENCE_SECONDS)
        if found is Presence.SILENT:
            raise Unavailable(_silent(state))
        if found is not Presence.ABSENT:
            change = _take(state, news, deadline)
            if change:
                break
        elif _spawn(state, deadline):
            _await_answer(state, deadline)
            change = "started"
            break
        if time.monotonic() >= deadline:
            raise Unavailable(_unclear(state))
        time.sleep(_POLL)
    return [*news, Server("", change, str(state.socket))]


def _take(state: State, news: list[Server], deadline: float) -> str:
    """Join or adopt the server that answers; end one that is outdated."""
    reason = stamp.outdated(state)
    supervised = locks.is_held(state.supervisor)
    process = talk.peer(state.socket)
    if not reason and supervised:
        return "joined"
    if not reason and process and _adopt(state, process):
        return "adopted"
    end(state, deadline)
    news.append(Server("", "ended", reason or "nobody could look after it"))
    return ""


def end(state: State, deadline: float) -> None:
    """End the server that runs; return when it and its supervisor are gone.

    The caller holds `start`.
    """
    process = talk.peer(state.socket)
    with suppress(OSError):
        talk.ask(state.socket, "SHUTDOWN", "NOSAVE", timeout=SILENCE_SECONDS)
    patience = time.monotonic() + SILENCE_SECONDS
    while talk.listens(state.socket) or locks.is_held(state.supervisor):
        if time.monotonic() >= deadline:
            raise Unavailable(_unclear(state))
        if time.monotonic() >= patience and process == talk.peer(state.socket):
            if process:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            patience = deadline
        time.sleep(_POLL)


def _spawn(state: State, deadline: float) -> bool:
    """Start supervisor and server; False if another supervisor is there still."""
    with ExitStack() as stack:
        lock = stack.enter_context(locks.passing(state.supervisor))
        if lock is None:
            return False
        program = binary.find()
        data_lock = -1
        if state.persist:
            data_lock = _lock_data(state, stack, deadline)
        # A data file would be read although nothing is to be kept.
        for leftover in (state.socket, state.directory / "dump.rdb"):
            leftover.unlink(missing_ok=True)
        supervisor.bound_log(str(state.log))
        stamp.write(state, program)
        _run(state, lock, data_lock, 0, _command(state, program))
        return True


def _adopt(state: State, process: int) -> bool:
    with locks.passing(state.supervisor) as lock:
        if lock is None:
            return False
        _run(state, lock, -1, process, [])
        return True


def _lock_data(state: State, stack: ExitStack, deadline: float) -> int:
    state.prepare_data()
    path = state.data / "lock"
    while True:
        attempt = ExitStack()
        lock = attempt.enter_context(locks.passing(path))
        if lock is not None:
            stack.push(attempt)
            return lock
        attempt.close()
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"The data in {state.data} is in use by another embedded server, "
                "started with another XDG_RUNTIME_DIR or TMPDIR. Give all processes "
                "of the project the same ones."
            )
        time.sleep(_POLL)


def _run(
    state: State, lock: int, data_lock: int, adopted: int, command: list[str]
) -> None:
    passed = [lock] if data_lock < 0 else [lock, data_lock]
    words = [
        str(state.directory),
        str(GRACE_SECONDS),
        "1" if state.persist else "0",
        *map(str, (lock, data_lock, adopted)),
        *command,
    ]
    log = locks.open_file(state.log, os.O_APPEND)
    try:
        # It forks and goes on by itself, so this is over at once. A pipe would
        # stay open as long as it lives.
        finished = subprocess.run(
            [_python(), "-I", "-S", supervisor.__file__, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=state.directory,
            start_new_session=True,
            pass_fds=passed,
            check=False,
        )
    finally:
        os.close(log)
    if finished.returncode:
        raise Unavailable(
            "The embedded server's supervisor did not start. " + _log_end(state)
        )


def _command(state: State, program: Binary) -> list[str]:
    keeping = {
        "--dir": str(state.data),
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--maxmemory-policy": "noeviction",
    }
    forgetting = {
        "--dir": str(state.directory),
        "--appendonly": "no",
        "--maxmemory-policy": "allkeys-lru",
    }
    options = {
        "--port": "0",
        "--unixsocket": str(state.socket),
        "--unixsocketperm": "700",
        "--save": "",
        "--maxmemory": MEMORY,
        "--daemonize": "no",
        "--logfile": str(state.log),
        **(keeping if state.persist else forgetting),
    }
    return [program.path, *(word for pair in options.items() for word in pair)]


def _await_answer(state: State, deadline: float) -> None:
    while True:
        found = talk.presence(state.socket, SILENCE_SECONDS)
        if found is Presence.READY:
            return
        if found is Presence.ABSENT and not locks.is_held(state.supervisor):
            raise Unavailable(
                "The embedded server ended while it started. " + _log_end(state)
            )
        if time.monotonic() >= deadline:
            if found is Presence.LOADING:
                return  # it answers so, and says why it does not serve yet
            raise Unavailable(_unclear(state))
        time.sleep(_POLL)


def log_lines(state: State, lines: int) -> list[str]:
    """Return the last lines of the server's log; none if there is no log."""
    try:
        with state.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - 200 * (lines + 1)))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:] if lines > 0 else []


def _python() -> str:
    """Return an interpreter: under uWSGI `sys.executable` is the web server."""
    names = ("python3", "python")
    if Path(sys.executable).name.startswith(("python", "pypy")):
        return sys.executable
    for prefix in (sys.prefix, sys.base_prefix):
        for name in names:
            program = Path(prefix, "bin", name)
            if os.access(program, os.X_OK):
                return str(program)
    found = shutil.which("python3")
    if found:
        return found
    raise InvalidSetting(
        "The embedded server needs a Python interpreter for its supervisor and finds "
        f"none (sys.executable is {sys.executable!r}). Put python3 on PATH, or {REMEDY}."
    )


def _log_end(state: State) -> str:
    return f"The end of its log, {state.log}:\n" + "\n".join(log_lines(state, 10))


def _silent(state: State) -> str:
    return (
        f"The embedded server (process {talk.peer(state.socket)}) is there but has "
        f"not answered for {SILENCE_SECONDS:g} s. "
        'End it with "manage.py redpony server stop"; the next process that '
        f"connects starts another. Its log is {state.log}."
    )


def _unclear(state: State) -> str:
    return (
        f"The embedded server in {state.directory} neither came up nor went away "
        f"within {START_SECONDS:g} s. Its log is {state.log}."
    )
