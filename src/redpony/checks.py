"""System checks of the settings. They ask no server: that is `doctor`'s part.

An id is for good: it never changes its meaning and is never given again.

======= ======= ==============================================================
E001            LOCATION cannot be used
E002            an unknown option
E003            a library that is not installed
E005            a value of the wrong kind
E006            an option that is refused
E007            `embedded://` with `DEBUG = False`, and not asked for
W001    deploy  `embedded://`, which will be refused in production
W002    deploy  plain text to another machine
W003    deploy  a TLS certificate that is not verified
W004    deploy  values that are unpickled without a seal
W005    deploy  no password to another machine
W007            two aliases, one of which empties the other
W008    deploy  no KEY_PREFIX in a database that others use
W012    deploy  a password in LOCATION
W013    deploy  sessions that are read from replicas
W014    deploy  fewer than three sentinels in LOCATION
W015            locks in a database that is emptied by CLEAR
======= ======= ==============================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.core.checks import (
    CheckMessage,
    Error,
    Tags,
    Warning,  # noqa: A004
    register,
)

from redpony.conf.advice import Advice, Topic, on_project
from redpony.conf.model import Examination, ProblemKind
from redpony.conf.project import Backend, backends
from redpony.conf.rooms import room_problems

_ERRORS: Final[dict[ProblemKind, str]] = {
    "location": "redpony.E001",
    "unknown": "redpony.E002",
    "library": "redpony.E003",
    "value": "redpony.E005",
    "refused": "redpony.E006",
    "embedded": "redpony.E007",
}

_WARNINGS: Final[dict[Topic, str]] = {
    "embedded": "redpony.W001",
    "plain": "redpony.W002",
    "unverified": "redpony.W003",
    "unsealed": "redpony.W004",
    "no password": "redpony.W005",
    "shared": "redpony.W007",
    "no prefix": "redpony.W008",
    "secret": "redpony.W012",
    "old sessions": "redpony.W013",
    "few sentinels": "redpony.W014",
    "emptied locks": "redpony.W015",
}

_ALWAYS: Final[frozenset[Topic]] = frozenset({"shared", "emptied locks"})


@register(Tags.caches)
def check_settings(**_: Any) -> list[CheckMessage]:
    """Report what is unusable, and what is unwise wherever it runs."""
    examined = _examined()
    problems = [problem for _, each in examined for problem in each.problems]
    errors = [
        Error(
            str(problem),
            hint="Redpony's reference has a page on options and one on errors.",
            id=_ERRORS[problem.kind],
        )
        for problem in (*problems, *room_problems())
    ]
    return [*errors, *_warnings(examined, wherever=True)]


@register(Tags.caches, deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    """Report what is unwise in production."""
    return _warnings(_examined(), wherever=False)


def _warnings(
    examined: Sequence[tuple[Backend, Examination]], *, wherever: bool
) -> list[CheckMessage]:
    pairs = [(backend.location, each) for backend, each in examined]
    return [
        _warning(advice)
        for advice in on_project(pairs)
        if (advice.topic in _ALWAYS) is wherever
    ]


def _warning(advice: Advice) -> CheckMessage:
    return Warning(
        f'CACHES["{advice.alias}"]: {advice.text}',
        hint=advice.remedy,
        id=_WARNINGS[advice.topic],
    )


def _examined() -> list[tuple[Backend, Examination]]:
    return [(each, each.examined()) for each in backends("Redpony")]
