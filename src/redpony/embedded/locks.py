"""Locks on files that the kernel takes back when their holder ends.

All are `flock` locks: they belong to an open file, are shared with forked
children and never with programs that are started. Nobody waits in the kernel;
every wait has a deadline (`time.monotonic()`).
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from redpony.embedded.state import REMEDY
from redpony.errors import InvalidSetting, Unavailable

if sys.platform != "win32":
    import fcntl

_passing: set[int] = set()
"""Open files on their way to another program; a forked child must drop them."""


def open_file(path: Path, flags: int = 0) -> int:
    """Open a file of ours, made if missing; links are not followed."""
    flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidSetting(
            f"The embedded server cannot open its file {path} ({error.strerror}). "
            f"Remove it if nobody needs it, or {REMEDY}."
        ) from error


def attempt(descriptor: int, path: Path, *, shared: bool) -> bool:
    """Lock if that is possible at once, and say whether it was."""
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        raise InvalidSetting(
            f"{path} cannot be locked ({name}: {error.strerror}); network file "
            "systems often cannot do that. The embedded server needs a local "
            "directory: set XDG_RUNTIME_DIR or TMPDIR to one (with persist, the "
            f"project must be on a local disk too), or {REMEDY}."
        ) from error
    return True


def acquire(descriptor: int, path: Path, *, shared: bool, deadline: float) -> None:
    """Lock, or raise `Unavailable` at the deadline."""
    pause = 0.002
    while not attempt(descriptor, path, shared=shared):
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"The embedded server's lock {path} stays taken: a process that "
                'starts or ends the server hangs. "manage.py redpony server" shows '
                "which processes there are."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def same_file(descriptor: int, path: Path) -> bool:
    """Whether `path` still names the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def is_held(path: Path) -> bool:
    """Whether somebody holds the exclusive lock; leaves nothing behind."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not attempt(descriptor, path, shared=True)
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path, deadline: float) -> Generator[None]:
    """Hold the exclusive lock of a file that is certainly the one at `path`."""
    while True:
        descriptor = open_file(path)
        try:
            acquire(descriptor, path, shared=False, deadline=deadline)
            if not same_file(descriptor, path):
                continue
            try:
                yield
            finally:
                # A child forked by another thread has the open file too, so
                # closing ours would not be enough.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            return
        finally:
            os.close(descriptor)


@contextmanager
def passing(path: Path) -> Generator[int | None]:
    """Try the exclusive lock, to be handed to another program; None if taken.

    The lock lives on in the program that was given the open file.
    """
    descriptor = open_file(path)
    _passing.add(descriptor)
    try:
        yield descriptor if attempt(descriptor, path, shared=False) else None
    finally:
        _passing.discard(descriptor)
        os.close(descriptor)


def _after_fork() -> None:
    for descriptor in _passing:
        with suppress(OSError):
            os.close(descriptor)
    _passing.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
