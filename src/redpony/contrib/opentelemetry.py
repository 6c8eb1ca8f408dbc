"""OpenTelemetry: a span and a duration for each operation, and counters.

Redpony's wire is its own, so instrumentations of redis-py do not see it. This
adapter listens to Redpony's events instead. Names and attributes are those of
OpenTelemetry's semantic conventions for Redis clients.

What always holds:

* A span names the operation, its commands and the node; never a key or a value.
  An error is its class and the server's error code, because the text of an error
  may quote a key (`ValueError: Key 'a' not found`).
* It is made at the end of the operation, in the caller's own context, with the
  time at which the operation began: its parent is the span that was current
  around the call. What the user's code does inside (the callable of
  `get_or_set`) is therefore its sibling, not its child.
* Locks are measured by kind and alias: their names are as many as there are orders.
* Until `instrument()` is called, and after `uninstrument()`, it costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise ImportError(
        "redpony.contrib.opentelemetry needs the package opentelemetry-api: "
        'pip install "redpony[otel]"'
    ) from error

from redpony import events
from redpony.errors import ServerError
from redpony.events import (
    BreakerChanged,
    Degraded,
    Event,
    LockAcquired,
    LockLost,
    LockReleased,
    Operation,
    Refused,
    Retried,
)

SCOPE = "redpony"
"""The instrumentation scope, as exporters show it."""

SCHEMA = "https://opentelemetry.io/schemas/1.36.0"

BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds: the bounds that the conventions recommend for the histogram."""

_KINDS = (
    Operation,
    Degraded,
    Retried,
    BreakerChanged,
    Refused,
    LockAcquired,
    LockReleased,
    LockLost,
)

Attributes = dict[str, str | int]

_lock = threading.Lock()
_unsubscribe: Callable[[], None] | None = None


def instrument(
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> None:
    """Begin to report every operation; the global providers unless others are named.

    Call it once a process, in `AppConfig.ready` or where the SDK is set up. A
    second call replaces the providers of the first.
    """
    global _unsubscribe
    reporter = _Reporter(
        trace.get_tracer(SCOPE, tracer_provider=tracer_provider, schema_url=SCHEMA),
        metrics.get_meter(SCOPE, meter_provider=meter_provider, schema_url=SCHEMA),
    )
    with _lock:
        if _unsubscribe is not None:
            _unsubscribe()
        _unsubscribe = events.subscribe(reporter, *_KINDS)


def uninstrument() -> None:
    """Stop reporting."""
    global _unsubscribe
    with _lock:
        if _unsubscribe is not None:
            _unsubscribe()
        _unsubscribe = None


class _Reporter:
    """Turns events into spans and measurements."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._duration = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        count = meter.create_counter
        self._degraded = count(
            "redpony.degraded",
            unit="{operation}",
            description="Operations answered by ON_ERROR instead of the server.",
        )
        self._retries = count(
            "redpony.retries",
            unit="{flight}",
            description="Flights of commands that were sent again.",
        )
        self._breaker = count(
            "redpony.breaker.changes",
            unit="{change}",
            description="Changes of a node's breaker.",
        )
        self._refused = count(
            "redpony.refused",
            unit="{value}",
            description="Stored values that were not used.",
        )
        self._lock_wait = meter.create_histogram(
            "redpony.lock.wait_time",
            unit="s",
            description="The time it took to take a lock.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._lock_hold = meter.create_histogram(
            "redpony.lock.hold_time",
            unit="s",
            description="The time between taking a lock and giving it back.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._lock_lost = count(
            "redpony.lock.lost",
            unit="{lock}",
            description="Locks that were lost while they were held.",
        )

    def __call__(self, event: Event) -> None:
        if isinstance(event, Operation):
            if context.get_value("suppress_instrumentation") is not True:
                self._operation(event)
        elif isinstance(event, Degraded):
            self._degraded.add(
                1,
                {
                    "redpony.alias": event.alias,
                    "redpony.operation": event.name,
                    "error.type": _error_type(event.error),
                },
            )
        elif isinstance(event, Retried):
            self._retries.add(
                1, {**_place(event.node), "error.type": _error_type(event.error)}
            )
        elif isinstance(event, BreakerChanged):
            state = {"redpony.breaker.state": event.state}
            self._breaker.add(1, {**_place(event.node), **state})
        elif isinstance(event, Refused):
            self._refused.add(
                1, {"redpony.alias": event.alias, "redpony.reason": event.reason}
            )
        elif isinstance(event, (LockAcquired, LockReleased, LockLost)):
            self._of_lock(event)

    def _of_lock(self, event: LockAcquired | LockReleased | LockLost) -> None:
        lock: Attributes = {
            "redpony.alias": event.alias,
            "redpony.lock.kind": event.kind,
        }
        if isinstance(event, LockAcquired):
            handed = {"redpony.lock.handed_over": event.handed_over}
            self._lock_wait.record(event.waited, {**lock, **handed})
        elif isinstance(event, LockReleased):
            self._lock_hold.record(event.held, lock)
        else:
            self._lock_lost.add(1, {**lock, "redpony.reason": event.reason})

    def _operation(self, event: Operation) -> None:
        ended = time.time_ns()
        attributes = _describe(event)
        span = self._tracer.start_span(
            f"cache.{event.name}",
            kind=SpanKind.CLIENT,
            start_time=ended - int(event.seconds * 1e9),
            attributes=attributes
            if len(event.commands) < 2
            else {**attributes, "db.operation.batch.size": len(event.commands)},
        )
        if span.is_recording():
            span.set_attribute("redpony.alias", event.alias)
            span.set_attribute("redpony.round_trips", event.round_trips)
            if event.error is not None:
                span.set_status(Status(StatusCode.ERROR))
        # The measurement carries the span, as exemplars want it.
        within = trace.set_span_in_context(span)
        self._duration.record(event.seconds, attributes, within)
        span.end(ended)


def _describe(event: Operation) -> Attributes:
    """Return the attributes that span and measurement share: few values each."""
    found: Attributes = {"db.system.name": "redis", **_place(event.node)}
    name = _command(event.commands)
    if name is not None:
        found["db.operation.name"] = name
    if event.error is not None:
        found["error.type"] = _error_type(event.error)
        if isinstance(event.error, ServerError):
            found["db.response.status_code"] = event.error.code
    return found


def _command(commands: tuple[str, ...]) -> str | None:
    """Return the conventions' name for what was asked; None if nothing was."""
    if not commands:
        return None
    first = commands[0]
    if len(commands) == 1:
        return first
    if all(each == first for each in commands):
        return f"PIPELINE {first}"
    return "PIPELINE"


def _error_type(error: BaseException) -> str:
    if isinstance(error, ServerError):
        return error.code
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _place(node: str) -> Attributes:
    where = _parse(node)
    found: Attributes = {"server.address": where.address}
    if where.port is not None:
        found["server.port"] = where.port
    if where.database is not None:
        found["db.namespace"] = where.database
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    address: str
    port: int | None = None
    database: str | None = None


@lru_cache(maxsize=256)
def _parse(node: str) -> _Place:
    """Return what a node's label holds: `127.0.0.1:6379/0`, `unix:/run/s/0`."""
    where, _, database = node.rpartition("/")
    if not database.isdecimal():
        return _Place(node)
    if where.startswith("unix:"):
        return _Place(where.removeprefix("unix:"), None, database)
    host, colon, port = where.rpartition(":")
    if not colon or not port.isdecimal():
        return _Place(where, None, database)
    return _Place(host.strip("[]"), int(port), database)


__all__ = ["instrument", "uninstrument"]
