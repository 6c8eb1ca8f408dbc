"""What the settings of one alias come to: immutable, complete, with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured

from redpony.codec import CodecConfig
from redpony.errors import InvalidSetting
from redpony.wire.config import LinkConfig, Topology

ProblemKind = Literal["location", "unknown", "library", "value", "refused", "embedded"]

Verdict = Literal["honoured", "no effect", "refused"]

Place = Literal["sentinels", "cluster"]
"""What an option may need LOCATION to name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in an alias's settings that is not usable.

    `where` is the setting as one would write it in Python, such as
    `CACHES["default"]["OPTIONS"]["DEADLINE"]`; `text` says what is wrong and what
    to do. Neither holds a secret.
    """

    kind: ProblemKind
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class Misconfigured(InvalidSetting, ImproperlyConfigured):
    """The settings of an alias are not usable as they stand.

    The message names the setting, the alias and the remedy; `problems` holds all
    of them where several things are wrong.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(each) for each in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Note:
    """An option that was accepted without effect, and why."""

    option: str
    reason: str

    def __str__(self) -> str:
        return f"{self.option}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What became of one setting that was given; `doctor` prints it."""

    where: str
    verdict: Verdict
    note: str


@dataclass(frozen=True, slots=True)
class AliasConfig:
    """Everything that one alias of `CACHES` says, resolved.

    `link` is what every connection needs; its address is that of the one server, of
    the first of several, or the name of a service. `topology` is None for one server.
    `timeout` is the default lifetime of an entry in seconds, None for ever. A function
    that is None is Django's default.
    """

    alias: str
    link: LinkConfig
    codec: CodecConfig
    topology: Topology | None = None
    key_prefix: str = ""
    version: int = 1
    key_function: Callable[[str, str, int], str] | None = None
    reverse_key_function: Callable[[str], str] | None = None
    timeout: float | None = 300
    on_error: str = "raise"
    log_degraded: bool = True
    logger: str = "redpony"
    clear: str = "scan"
    scan_page: int = 1000
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """The settings of one alias, looked through to the end.

    `config` is None exactly if there are problems. `chosen` is what the options
    came to, by the field of the result, without what stands in LOCATION.
    """

    alias: str
    config: AliasConfig | None
    problems: tuple[Problem, ...]
    treatments: tuple[Treatment, ...]
    chosen: Mapping[str, Any]

    def result(self) -> AliasConfig:
        """Return the configuration; raises `Misconfigured` if there is none."""
        if self.config is None:
            raise Misconfigured(*self.problems)
        return self.config


Reader = Callable[[Any], Any]
"""Turns what a user wrote into what we store.

Raises `Unfit` or `Refusal`; returns `Ignored` for a value that is accepted
without effect.
"""


class Unfit(Exception):
    """A value is of the wrong kind; the text completes "takes ..."."""


class Refusal(Exception):
    """A value is refused; the text is the remedy."""

    def __init__(self, remedy: str, kind: ProblemKind = "refused") -> None:
        super().__init__(remedy)
        self.kind: ProblemKind = kind


@dataclass(frozen=True, slots=True)
class Ignored:
    """A value is accepted without effect, for this reason.

    With `needs`, only where LOCATION names that; elsewhere it is refused, and
    `remedy` says what to write.
    """

    reason: str
    needs: Place | None = None
    remedy: str = ""
