"""What a running server was started with, so that an upgrade is noticed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from redpony.embedded import binary
from redpony.embedded.binary import Binary
from redpony.embedded.state import State
from redpony.errors import InvalidSetting

REVISION = 1
"""Of the server's arguments and the supervisor: a higher one restarts."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Written before the server starts; `size` and `written` spare a look."""

    revision: int
    project: str
    path: str
    size: int
    written: int
    kind: str
    version: tuple[int, ...]


def write(state: State, program: Binary) -> None:
    """Note what is about to be started; the caller holds `start`."""
    found = Path(program.path).stat()
    note = Stamp(
        REVISION,
        str(state.project),
        program.path,
        found.st_size,
        found.st_mtime_ns,
        program.kind,
        program.version,
    )
    fresh = state.stamp.with_name("stamp.new")
    fresh.write_text(json.dumps(asdict(note)), encoding="utf-8")
    fresh.replace(state.stamp)


def read(state: State) -> Stamp | None:
    """Return the note of the server that runs; None if there is no good one."""
    try:
        note = Stamp(**json.loads(state.stamp.read_bytes()))
        return Stamp(
            int(note.revision),
            str(note.project),
            str(note.path),
            int(note.size),
            int(note.written),
            str(note.kind),
            tuple(int(part) for part in note.version),
        )
    except (OSError, ValueError, TypeError):
        return None


def outdated(state: State) -> str:
    """Say why the running server should be replaced; empty if it should not.

    Only what is newer replaces: an older virtual environment joins.
    """
    note = read(state)
    if note is None:
        return ""
    if note.revision < REVISION:
        return "an older Redpony started it"
    for path in binary.candidates():
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError:
            continue
        if (path, found.st_size, found.st_mtime_ns) == (
            note.path,
            note.size,
            note.written,
        ):
            return ""
        break
    try:
        ours = binary.find()
    except InvalidSetting:
        return ""
    theirs = Binary(note.path, note.kind, note.version)
    return f"{theirs} gives way to {ours}" if ours.rank > theirs.rank else ""
