"""What the connections to sentinels take: the tables of the servers', derived.

A row of theirs sets a field of the sentinels' part instead. So the documentation
lists each name once, and says of `SENTINEL_TLS` and `SENTINEL_KWARGS` that their
entries are those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from redpony.conf import kinds
from redpony.conf.table import ours, redis_py
from redpony.conf.table.option import REDIS_PY, Option

_HOME: Final = {"tls.": "sentinel_tls.", "link.": "sentinel."}
_IN_SENTINELS: Final = kinds.refused("it stands in SENTINELS")
_READ_BY_US: Final = kinds.ignored("Redpony reads the sentinels' answers itself")

_OWN: Final = (
    Option("ssl", REDIS_PY, "honoured", kinds.switch, "sentinel.tls", "redis-py"),
    *(
        Option(name, REDIS_PY, "refused", _IN_SENTINELS, "", "redis-py")
        for name in ("host", "port", "path", "unix_socket_path")
    ),
    *(
        Option(name, REDIS_PY, "no effect", _READ_BY_US, "", "redis-py")
        for name in ("decode_responses", "encoding", "encoding_errors")
    ),
    Option(
        "db",
        REDIS_PY,
        "by value",
        kinds.only(0, "sentinels have no databases", "sentinels have no databases"),
        "",
        "redis-py",
    ),
)
_NOT_THEIRS: Final = frozenset({"serializer", "is_master", "check_connection"})


def tls_rows() -> dict[str, Option]:
    """The rows of `OPTIONS["SENTINEL_TLS"]` by name."""
    return {
        each.name: _moved(each) for each in ours.parts() if each.sets.startswith("tls.")
    }


def argument_rows() -> dict[str, Option]:
    """The rows of `OPTIONS["SENTINEL_KWARGS"]` by name."""
    return {each.name: each for each in _arguments()}


def _arguments() -> Iterator[Option]:
    for each in redis_py.arguments():
        if each.name not in _NOT_THEIRS:
            yield _moved(each)
    yield from _OWN


def _moved(row: Option) -> Option:
    for start, home in _HOME.items():
        if row.sets.startswith(start):
            return replace(row, sets=home + row.sets.removeprefix(start))
    return row
