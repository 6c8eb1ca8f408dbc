"""Looks through the options of one alias by the table, without stopping at faults.

What several options say of one field is settled by rank: settings of the project,
then options that come from other packages, then arguments for redis-py's pool,
then Redpony's own, then what stands in the URL. Of one rank, two that differ are
a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final

from redpony.conf.model import (
    Ignored,
    Note,
    Place,
    Problem,
    ProblemKind,
    Refusal,
    Treatment,
    Unfit,
)
from redpony.conf.table import REDPONY, Option, own_name, rows, sentinel
from redpony.wire.spelling import nearest

SECRET_FIELDS: Final = frozenset(
    {
        "link.password",
        "link.username",
        "tls.key_password",
        "codec.seal_keys",
        "sentinel.password",
        "sentinel.username",
        "sentinel_tls.key_password",
    }
)
# Addresses may be written with a password in them.
_UNSHOWN: Final = SECRET_FIELDS | {"sentinel.addresses"}


class Rank(IntEnum):
    """Whose word counts."""

    SETTINGS = 0
    FOREIGN = 1
    POOL = 2
    OWN = 3
    URL = 4


@dataclass(frozen=True, slots=True)
class _Part:
    """A dict among the options: its own rows, and what an unknown one is not in."""

    rows: Callable[[], Mapping[str, Option]]
    among: str
    rank: Rank | None = None


_PARTS: Final[Mapping[str, _Part]] = {
    "tls": _Part(lambda: rows("tls"), 'OPTIONS["TLS"]'),
    "breaker": _Part(lambda: rows("breaker"), 'OPTIONS["BREAKER"]'),
    "redis-py": _Part(lambda: rows("redis-py"), "redis-py", Rank.POOL),
    "sentinel_tls": _Part(sentinel.tls_rows, 'OPTIONS["SENTINEL_TLS"]'),
    "sentinel arguments": _Part(sentinel.argument_rows, "redis-py", Rank.POOL),
}


@dataclass(frozen=True, slots=True)
class Demand:
    """An option that is accepted only where LOCATION names a certain thing."""

    label: str
    needs: Place
    remedy: str


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
    demands: list[Demand] = field(default_factory=list[Demand])

    def copy(self) -> Reading:
        """Return a reading that goes on alone."""
        return replace(
            self,
            chosen=dict(self.chosen),
            problems=list(self.problems),
            notes=list(self.notes),
            treatments=list(self.treatments),
            demands=list(self.demands),
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
        self._forget(label)
        self.problems.append(Problem(kind, where, text))
        self.treatments.append(Treatment(shown(label), "refused", text))

    def without_effect(self, label: str, reason: str) -> None:
        """Note that an option was accepted without effect."""
        self.notes.append(Note(shown(label), reason))
        self.treatments.append(Treatment(shown(label), "no effect", reason))

    def labels(self, part: str) -> dict[str, str]:
        """Return where each field of a part was chosen, by field."""
        start = part + "."
        return {
            name.removeprefix(start): each.label
            for name, each in self.chosen.items()
            if name.startswith(start)
        }

    def idle(self, part: str, reason: str, *names: str) -> None:
        """Note that a part's fields (these, or all) were chosen to no effect."""
        for name, label in self.labels(part).items():
            if not names or name in names:
                self._forget(label)
                self.without_effect(label, reason)

    def settle(self, place: Place | None) -> None:
        """Refuse what needs another LOCATION than one that names this."""
        for demand in self.demands:
            # What the project says once is for those aliases that it fits.
            if demand.needs != place and not kind_is_global(demand.label):
                self.fault("refused", demand.label, f"{demand.remedy}.")

    def take_all(
        self,
        given: Mapping[Any, Any],
        prefix: str,
        rank: Rank,
        known: Mapping[str, Option],
        among: str = "OPTIONS",
    ) -> None:
        """Read every option of a mapping; an unknown one is a fault."""
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
        if option.sets == "sentinel_tls" and not isinstance(read, Ignored):
            # A dict says how, and that it is wanted at all.
            switch = replace(option, sets="sentinel.tls")
            self._choose(switch, read is not False, label, max(rank, Rank.OWN))
        if isinstance(read, Ignored):
            self.without_effect(label, read.reason)
            if read.needs:
                self.demands.append(Demand(label, read.needs, read.remedy))
        elif option.sets in _PARTS:
            part = _PARTS[option.sets]
            if isinstance(read, Mapping):
                self.take_all(
                    read, label, part.rank or rank, part.rows(), among=part.among
                )
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
            self._forget(loses.label)
            self.without_effect(loses.label, f"{shown(wins.label)} says otherwise")

    def _forget(self, label: str) -> None:
        """Take back what was said of an option."""
        self.treatments = [
            each for each in self.treatments if each.where != shown(label)
        ]
        self.notes = [each for each in self.notes if each.option != shown(label)]


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
    if option.sets in _UNSHOWN or not (
        value is None or isinstance(value, bool | int | float | str)
    ):
        return f"of the type {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...'"
