"""The meter: which steps a request took, and how long each of them was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from time import perf_counter
from typing import Any

from redpony.errors import CircuitOpen
from redpony.events import Degraded, Event, Operation

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Step:
    """One query, or one operation of the cache."""

    layer: str
    name: str
    detail: str
    seconds: float
    round_trips: int = 1
    error: str = ""

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1000


@dataclass(slots=True)
class Cost:
    """What one request took until its response was made."""

    method: str
    path: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    number: int = field(default_factory=lambda: next(_numbers))
    steps: list[Step] = field(default_factory=list)
    status: int = 0
    seconds: float = 0.0
    degraded: dict[str, BaseException] = field(default_factory=dict)

    def layer(self, name: str) -> list[Step]:
        return [step for step in self.steps if step.layer == name]

    @property
    def queries(self) -> int:
        return len(self.layer("database"))

    @property
    def round_trips(self) -> int:
        return sum(step.round_trips for step in self.layer("cache"))

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1000

    @property
    def database(self) -> float:
        """Milliseconds in the database."""
        return sum(step.milliseconds for step in self.layer("database"))

    @property
    def cache(self) -> float:
        """Milliseconds in the cache."""
        return sum(step.milliseconds for step in self.layer("cache"))

    @property
    def rest(self) -> float:
        """Milliseconds in neither: views, templates, hops between threads."""
        return max(0.0, self.milliseconds - self.database - self.cache)

    @property
    def failures(self) -> int:
        """How many steps failed."""
        return sum(bool(step.error) for step in self.steps)

    @property
    def failed(self) -> bool:
        """Whether a step failed (and the request was answered all the same)."""
        return self.failures > 0


current: ContextVar[Cost | None] = ContextVar("cost", default=None)

history: deque[Cost] = deque(maxlen=100)
"""The last requests, newest last; in this process's memory, so that it outlives Redis."""


def note_event(event: Event) -> None:
    """Book an operation of the cache to the request in whose context it ran."""
    cost = current.get()
    if cost is None:
        return
    if isinstance(event, Degraded):
        _note_failure(cost, event.name, event.error)
    elif isinstance(event, Operation):
        known = cost.degraded.pop(event.name, None)
        error = event.error or known
        asked = 0 if isinstance(error, CircuitOpen) else event.round_trips
        cost.steps.append(
            Step(
                layer="cache",
                name=event.name,
                detail=" ".join(event.commands),
                seconds=event.seconds,
                round_trips=asked,
                error=_described(error),
            )
        )


def _note_failure(cost: Cost, name: str, error: BaseException) -> None:
    """Remember what an operation survived; some tell it before they end, some after."""
    last = cost.steps[-1] if cost.steps else None
    if last is None or last.name != name or last.error != _described(error):
        cost.degraded[name] = error


def _described(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}" if error else ""


def wrap_connection(connection: Any, **kwargs: Any) -> None:
    """Book the queries of a new database connection."""
    if _count_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_count_query)


def _count_query(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
) -> Any:
    cost = current.get()
    if cost is None:
        return execute(sql, params, many, context)
    started = perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        text = sql.replace('"', "")
        cost.steps.append(Step("database", "", text, perf_counter() - started))
