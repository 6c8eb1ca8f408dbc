"""Looks through the options of one alias by the table, without stopping at faults.

What several options say of one field is settled by rank: settings of the project,
then options that come from other packages, then arguments for redis-py's pool,
then Redpony's own, then what stands in the URL. Of one rank, two that differ are
a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final

from redpony.conf.model import (
    Ignored,
    Note,
    Problem,
    ProblemKind,
    Refusal,
    Treatment,
    Unfit,
)
from redpony.conf.table import REDPONY, Option, Place, own_name, rows
from redpony.wire.url import nearest

SECRET_FIELDS: Final = frozenset(
    {"link.password", "link.username", "tls.key_password", "codec.seal_keys"}
)


class Rank(IntEnum):
    """Whose word counts."""

    SETTINGS = 0
    FOREIGN = 1
    POOL = 2
    OWN = 3
    URL = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a field came to, and which option said so."""

    value: Any
    rank: Rank
    label: str


@dataclass(slots=True)
class Reading:
    """The fields chosen so far, and what there is to say about the options.

    `base` is the alias as one would write it in Python, `CACHES["default"]`.
    """

    base: str
    chosen: dict[str, Chosen] = field(default_factory=dict[str, Chosen])
    problems: list[Problem] = field(default_factory=list[Problem])
    notes: list[Note] = field(default_factory=list[Note])
    treatments: list[Treatment] = field(default_factory=list[Treatment])

    def copy(self) -> Reading:
        """Return a reading that goes on alone."""
        return replace(
            self,
            chosen=dict(self.chosen),
            problems=list(self.problems),
            notes=list(self.notes),
            treatments=list(self.treatments),
        )

    def part(self, prefix: str) -> dict[str, Any]:
        """Return the chosen values of one part of the result by field."""
        start = prefix + "."
        return {
            name.removeprefix(start): each.value
            for name, each in self.chosen.items()
            if name.startswith(start)
        }

    def fault(self, kind: ProblemKind, label: str, text: str) -> None:
        """Note that something is not usable."""
        where = label if kind_is_global(label) else f"{self.base}{label}"
        self.problems.append(Problem(kind, where, text))
        self.treatments.append(Treatment(shown(label), "refused", text))

    def without_effect(self, label: str, reason: str) -> None:
        """Note that an option was accepted without effect."""
        self.notes.append(Note(shown(label), reason))
        self.treatments.append(Treatment(shown(label), "no effect", reason))

    def take_all(
        self,
        given: Mapping[Any, Any],
        prefix: str,
        rank: Rank,
        *places: Place,
        among: str = "OPTIONS",
    ) -> None:
        """Read every option of a mapping; an unknown one is a fault."""
        known = rows(*places)
        for name, value in given.items():
            label = f'{prefix}["{name}"]'
            option = known.get(name)
            if option is None:
                near = nearest(str(name), tuple(known))
                self.fault(
                    "unknown",
                    label,
                    f"{among} has no such option.{near} The documentation lists all "
                    'under "Options"; remove it if it is of no use.',
                )
            else:
                self.take(option, value, label, rank)

    def take(self, option: Option, value: Any, label: str, rank: Rank) -> None:
        """Read one option by its row."""
        try:
            read = option.reads(value)
        except Refusal as refusal:
            self.fault(refusal.kind, label, f"{str(refusal).rstrip('.')}.")
            return
        except Unfit as error:
            wanted = str(error).rstrip(".?")
            mark = "?" if str(error).endswith("?") else "."
            self.fault(
                "value", label, f"takes {wanted}{mark} It is {_given(option, value)}."
            )
            return
        if isinstance(read, Ignored):
            self.without_effect(label, read.reason)
        elif option.sets == "tls":
            self.take_all(read, label, rank, "tls", among='OPTIONS["TLS"]')
        elif option.sets == "breaker":
            self.take_all(read, label, rank, "breaker", among='OPTIONS["BREAKER"]')
        elif option.sets == "redis-py":
            self.take_all(read, label, Rank.POOL, "redis-py", among="redis-py")
        else:
            if option.whose == REDPONY:
                rank = max(rank, Rank.OWN)
            self._choose(option, read, label, rank)

    def _choose(self, option: Option, value: Any, label: str, rank: Rank) -> None:
        before = self.chosen.get(option.sets)
        now = Chosen(value, rank, label)
        own = own_name(option)
        self.treatments.append(
            Treatment(shown(label), "honoured", f"as {own}" if own else "")
        )
        if before is None or before.value == value:
            self.chosen[option.sets] = max(
                (now, before or now), key=lambda each: each.rank
            )
        elif before.rank == rank and rank > Rank.SETTINGS:
            self.fault(
                "value",
                label,
                f"says something else than {shown(before.label)}, for the same thing; "
                "leave one of them.",
            )
        else:
            wins, loses = (now, before) if rank > before.rank else (before, now)
            self.chosen[option.sets] = wins
            self.treatments = [
                each for each in self.treatments if each.where != shown(loses.label)
            ]
            self.without_effect(loses.label, f"{shown(wins.label)} says otherwise")


def kind_is_global(label: str) -> bool:
    """Whether a label names a setting of the project, not of the alias."""
    return not label.startswith("[")


def shown(label: str) -> str:
    """Return a label as people say it: `OPTIONS["X"]`, `LOCATION`."""
    if kind_is_global(label):
        return label
    head, _, tail = label[2:].partition('"]')
    return f"{head}{tail}"


def _given(option: Option, value: Any) -> str:
    if option.sets in SECRET_FIELDS or not (
        value is None or isinstance(value, bool | int | float | str)
    ):
        return f"of the type {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...'"
