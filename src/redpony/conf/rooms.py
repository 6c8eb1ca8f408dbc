"""The setting `REDPONY`: what the rooms beside the cache take for granted.

    REDPONY = {
        "LOCKS": {"ALIAS": "default", "LEASE": 30},
        "REALTIME": {"ALIAS": "default", "HISTORY": 1000},
    }

A lock is made for each use, and a message published, so this is on their path: what was
read is kept beside a copy of the setting, and read again when that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.conf import settings

from redpony.conf.kinds import seconds, switch
from redpony.conf.model import Misconfigured, Problem, Refusal, Unfit
from redpony.conf.project import backends
from redpony.wire.spelling import nearest

ROOMS: Final = (
    "LOCKS",
    "LIMITS",
    "QUERIES",
    "REALTIME",
    "SESSIONS",
    "STREAMS",
    "TASKS",
)
"""The parts that the setting may have."""


@dataclass(frozen=True, slots=True)
class LockSettings:
    """What locks go by that are not told otherwise.

    `alias` is that of `CACHES` whose server they live on, `lease` the length in seconds
    of a lease that is renewed, `lockdep` whether locks that are taken in opposite orders
    are told; None: under `DEBUG`.
    """

    alias: str = "default"
    lease: float = 30.0
    lockdep: bool | None = None


@dataclass(frozen=True, slots=True)
class RealtimeSettings:
    """What channels and streams go by that are not told otherwise.

    `alias` is that of `CACHES` whose server messages go through. A channel keeps its last
    `history` messages (0: none), for `ttl` seconds. An open stream hears something at
    least every `heartbeat` seconds; at most `buffer` bytes wait for a slow one, before it
    has to read on from the history; it may have `max_channels`, and send us messages of
    `max_message` bytes. `origins` are those that may open a WebSocket besides the site's
    own, as in `CSRF_TRUSTED_ORIGINS`, which holds too. `partitions` is over how many slots
    of a cluster channels are spread: the same in every process, for ever.
    """

    alias: str = "default"
    history: int = 1000
    ttl: float = 86400.0
    heartbeat: float = 20.0
    buffer: int = 262_144
    max_channels: int = 100
    max_message: int = 65_536
    origins: tuple[str, ...] = ()
    partitions: int = 64


@dataclass(frozen=True, slots=True)
class _Read:
    locks: LockSettings = LockSettings()
    realtime: RealtimeSettings = RealtimeSettings()


_UNSET: Final = _Read()


@dataclass(frozen=True, slots=True)
class _Known:
    given: Any
    read: _Read


_known: _Known | None = None


def lock_settings() -> LockSettings:
    """Return `REDPONY["LOCKS"]`, read; raises `Misconfigured`."""
    return _rooms().locks


def realtime_settings() -> RealtimeSettings:
    """Return `REDPONY["REALTIME"]`, read; raises `Misconfigured`."""
    return _rooms().realtime


def _rooms() -> _Read:
    global _known
    # Not `settings` itself, once it is there: it looks much longer for what is not set.
    there = settings._wrapped if settings.configured else settings  # noqa: SLF001
    given = getattr(there, "REDPONY", None)
    if given is None:
        return _UNSET
    known = _known
    if (
        known is None
        or known.given != given
        or known.read.locks.alias not in settings.CACHES
        or known.read.realtime.alias not in settings.CACHES
    ):
        problems = tuple(room_problems())
        if problems:
            raise Misconfigured(*problems)
        read = _Read(
            LockSettings(**_read(given, "LOCKS")),
            RealtimeSettings(**_read(given, "REALTIME")),
        )
        known = _known = _Known(_copy(given), read)
    return known.read


def room_problems() -> Iterator[Problem]:
    """Look through the setting to the end. No round trip."""
    given: Any = getattr(settings, "REDPONY", None)
    if given is None:
        return
    if not isinstance(given, Mapping):
        yield _misfit(
            "REDPONY", 'a dict such as {"LOCKS": {"ALIAS": "default"}}', given
        )
        return
    yield from _unknown(given, "REDPONY", ROOMS)
    for room, readers in _READ.items():
        yield from _problems_of(given.get(room), f'REDPONY["{room}"]', readers)


def _problems_of(
    given: Any, where: str, readers: Mapping[str, Callable[[Any], Any]]
) -> Iterator[Problem]:
    if given is None:
        return
    if not isinstance(given, Mapping):
        yield _misfit(where, 'a dict such as {"ALIAS": "default"}', given)
        return
    yield from _unknown(given, where, tuple(readers))
    for name, reads in readers.items():
        if name not in given:
            continue
        try:
            reads(given[name])
        except Unfit as error:
            yield _misfit(f'{where}["{name}"]', str(error), given[name])
        except Refusal as error:
            yield Problem(error.kind, f'{where}["{name}"]', str(error))


def _alias(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit('the name of an alias of CACHES, such as "default"')
    if value not in settings.CACHES:
        near = nearest(value, tuple(settings.CACHES))
        raise Refusal(
            f'CACHES has no alias "{value}".{near} Name one that it has, or leave this '
            'out for "default".',
            "unknown",
        )
    if all(each.alias != value for each in backends()):
        raise Refusal(
            f'CACHES["{value}"] is not in Redis, and {what} live there. Name an alias '
            "that is, such as one with redpony.cache.RedisCache."
        )
    return value


def _lease(value: Any) -> float:
    try:
        return seconds(value)
    except Unfit:
        raise Unfit("a number of seconds, more than 0, such as 30") from None


def _count(least: int, example: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Unfit(f"a whole number of at least {least}, such as {example}")
        return value

    return read


def _span(value: Any) -> float:
    try:
        return seconds(value)
    except Unfit:
        raise Unfit("a number of seconds, more than 0, such as 20") from None


def _origins(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(
        isinstance(each, str) and "://" in each for each in _listed(value)
    ):
        raise Unfit('a list of origins, such as ["https://shop.example"]')
    return tuple(value)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [None]


_READ: Final[Mapping[str, Mapping[str, Callable[[Any], Any]]]] = {
    "LOCKS": {"ALIAS": partial(_alias, "locks"), "LEASE": _lease, "LOCKDEP": switch},
    "REALTIME": {
        "ALIAS": partial(_alias, "channels"),
        "HISTORY": _count(0, 1000),
        "TTL": _span,
        "HEARTBEAT": _span,
        "BUFFER": _count(1024, 262_144),
        "MAX_CHANNELS": _count(1, 100),
        "MAX_MESSAGE": _count(1, 65_536),
        "ORIGINS": _origins,
        "PARTITIONS": _count(1, 64),
    },
}


def _read(given: Mapping[str, Any], room: str) -> dict[str, Any]:
    of_room = given.get(room) or {}
    return {
        name.lower(): reads(of_room[name])
        for name, reads in _READ[room].items()
        if name in of_room
    }


def _unknown(
    given: Mapping[Any, Any], where: str, known: tuple[str, ...]
) -> Iterator[Problem]:
    for name in given:
        if name not in known:
            near = nearest(str(name), known)
            yield Problem(
                "unknown",
                f'{where}["{name}"]',
                f"there is no such setting.{near} Known are {', '.join(known)}.",
            )


def _misfit(where: str, wanted: str, value: Any) -> Problem:
    shown = f"of the type {type(value).__name__}"
    if isinstance(value, str | int | float):
        shown = repr(value)
    return Problem("value", where, f"takes {wanted}. It is {shown}.")


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(each) for name, each in value.items()}
    return value
