"""Where one project's server keeps its socket, its locks and its log.

The directory is found from the project's directory alone, so all processes of
a project meet there. It is this user's alone: owner and mode are verified each
time, and a symbolic link is refused, so nobody else can have put a socket or a
lock in our way.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path

from redpony.errors import InvalidSetting

SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""What fits into `sun_path`, its closing zero left out."""

REMEDY = (
    'run a server yourself and set LOCATION to "redis://127.0.0.1:6379" '
    "(or to its address)"
)


@dataclass(frozen=True, slots=True)
class State:
    """The files of one embedded server; making one touches nothing."""

    root: Path
    directory: Path
    project: Path
    persist: bool

    @property
    def socket(self) -> Path:
        return self.directory / "s"

    @property
    def users(self) -> Path:
        """Locked, shared, by each process that uses the server."""
        return self.directory / "users"

    @property
    def start(self) -> Path:
        """Locked by the one process that starts, adopts or ends the server."""
        return self.directory / "start"

    @property
    def supervisor(self) -> Path:
        """Locked by the supervisor while it lives; holds its process id."""
        return self.directory / "supervisor"

    @property
    def parents(self) -> Path:
        """Names processes that start users again and again: an autoreloader."""
        return self.directory / "parents"

    @property
    def stamp(self) -> Path:
        """Says which program and which settings the server runs with."""
        return self.directory / "stamp"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def data(self) -> Path:
        """Where the data is kept with `persist`; the project's, not temporary."""
        return self.project / ".redpony"

    def prepare(self) -> None:
        """Make the directories that are missing and verify all of them.

        Raises `InvalidSetting` for one that others could write to or that is
        not ours.
        """
        private_directory(self.root)
        private_directory(self.directory)

    def prepare_data(self) -> None:
        """Make `<project>/.redpony`, closed to others and to version control."""
        private_directory(self.data)
        ignore = self.data / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")


def locate(project: str, *, persist: bool) -> State:
    """Return where the server of this project lives.

    Two spellings of one directory lead to one server. Raises `InvalidSetting`
    if the socket's path would be too long for the system.
    """
    if sys.platform == "win32":
        raise InvalidSetting(
            "The embedded server does not run on Windows. Run a server in WSL or "
            "a container (or install Memurai) and set LOCATION to "
            '"redis://127.0.0.1:6379".'
        )
    resolved = Path(project).resolve()
    root = _root()
    name = blake2s(
        os.fsencode(resolved) + (b"\0persist" if persist else b""), digest_size=8
    ).hexdigest()
    state = State(root, root / name, resolved, persist)
    length = len(os.fsencode(state.socket))
    if length > SOCKET_PATH_BYTES:
        raise InvalidSetting(
            f"The embedded server's socket would be {state.socket}: {length} bytes, "
            f"and the system allows {SOCKET_PATH_BYTES}. Set XDG_RUNTIME_DIR or "
            f"TMPDIR to a directory with a shorter path, or {REMEDY}."
        )
    return state


def _root() -> Path:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute():
        try:
            # After `su` or `sudo` the variable may name somebody else's.
            ours = runtime.stat().st_uid == os.geteuid()
        except OSError:
            ours = False
        if ours:
            return runtime / "redpony"
    temporary = Path(os.environ.get("TMPDIR", ""))
    if not temporary.is_absolute():
        temporary = Path("/tmp")  # noqa: S108  (what is made in it is verified)
    return temporary / f"redpony-{os.geteuid()}"


def private_directory(path: Path) -> None:
    """Make `path` unless it exists, and verify that it is ours alone."""
    with suppress(FileNotFoundError):
        verify(path)
        return
    try:
        path.mkdir(mode=0o700, exist_ok=True)  # another process may be first
    except OSError as error:
        raise InvalidSetting(
            f"The embedded server cannot make its directory {path} "
            f"({error.strerror}). {_elsewhere(path)}"
        ) from error
    verify(path)


def verify(path: Path) -> None:
    """Raise `InvalidSetting` unless `path` is a directory that is ours alone.

    Raises `FileNotFoundError` if there is nothing.
    """
    found = path.lstat()
    parent = path.parent.stat()
    fault = ""
    if stat.S_ISLNK(found.st_mode):
        fault = "is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        fault = "is not a directory"
    elif found.st_uid != os.geteuid():
        fault = f"belongs to user {found.st_uid}, and this is user {os.geteuid()}"
    elif found.st_mode & 0o077:
        fault = f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o})"
    elif parent.st_mode & 0o002 and not parent.st_mode & stat.S_ISVTX:
        fault = f"lies in {path.parent}, where anybody may replace it"
    if fault:
        raise InvalidSetting(
            f"The embedded server does not trust {path}: it {fault}. "
            f"Remove it if nobody needs it. {_elsewhere(path)}"
        )


def _elsewhere(path: Path) -> str:
    if path.name == ".redpony":
        return (
            f"Make {path.parent} writable to this user and to nobody else, leave "
            'out "?persist=1", or ' + REMEDY + "."
        )
    return (
        "Or set XDG_RUNTIME_DIR or TMPDIR to a directory of this user's own, or "
        + REMEDY
        + "."
    )
