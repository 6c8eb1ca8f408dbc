"""The setting `REDPONY`: what the rooms beside the cache take for granted.

    REDPONY = {"LOCKS": {"ALIAS": "default", "LEASE": 30}}

A lock is made for each use, so this is on its path: what was read is kept beside a copy
of the setting, and read again when that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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


_UNSET: Final = LockSettings()


@dataclass(frozen=True, slots=True)
class _Known:
    given: Any
    read: LockSettings


_known: _Known | None = None


def lock_settings() -> LockSettings:
    """Return `REDPONY["LOCKS"]`, read; raises `Misconfigured`."""
    global _known
    # Not `settings` itself, once it is there: it looks much longer for what is not set.
    there = settings._wrapped if settings.configured else settings  # noqa: SLF001
    given = getattr(there, "REDPONY", None)
    if given is None:
        return _UNSET
    known = _known
    if known is None or known.given != given or known.read.alias not in settings.CACHES:
        problems = tuple(room_problems())
        if problems:
            raise Misconfigured(*problems)
        known = _known = _Known(_copy(given), _locks(given.get("LOCKS") or {}))
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
    locks = given.get("LOCKS")
    where = 'REDPONY["LOCKS"]'
    if locks is None:
        return
    if not isinstance(locks, Mapping):
        yield _misfit(where, 'a dict such as {"ALIAS": "default"}', locks)
        return
    yield from _unknown(locks, where, tuple(_LOCKS))
    for name, reads in _LOCKS.items():
        if name not in locks:
            continue
        try:
            reads(locks[name])
        except Unfit as error:
            yield _misfit(f'{where}["{name}"]', str(error), locks[name])
        except Refusal as error:
            yield Problem(error.kind, f'{where}["{name}"]', str(error))


def _alias(value: Any) -> str:
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
            f'CACHES["{value}"] is not in Redis, and locks live there. Name an alias '
            "that is, such as one with redpony.cache.RedisCache."
        )
    return value


def _lease(value: Any) -> float:
    try:
        return seconds(value)
    except Unfit:
        raise Unfit("a number of seconds, more than 0, such as 30") from None


_LOCKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "ALIAS": _alias,
    "LEASE": _lease,
    "LOCKDEP": switch,
}


def _locks(given: Mapping[str, Any]) -> LockSettings:
    read: dict[str, Any] = {
        name.lower(): reads(given[name])
        for name, reads in _LOCKS.items()
        if name in given
    }
    return LockSettings(**read)


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
