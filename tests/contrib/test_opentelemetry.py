"""OpenTelemetry gets a span and a duration for each operation, and counts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from opentelemetry import context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from redpony import events
from redpony.contrib.opentelemetry import instrument, uninstrument
from redpony.errors import NotAnInteger, Unavailable
from redpony.events import BreakerChanged, Degraded, Operation, Refused, Retried
from tests.colours import Both
from tests.servers import free_port

NODE = "127.0.0.1:6379/0"


class Telemetry:
    """An SDK of the test's own, that keeps everything in memory."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("the test")

    def instrument(self):
        instrument(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self):
        """Redpony's spans, without the test's own."""
        return [
            span
            for span in self.exporter.get_finished_spans()
            if span.instrumentation_scope.name == "redpony"
        ]

    def metrics(self):
        """Return the points of each metric, by its name."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    telemetry.instrument()
    yield telemetry
    uninstrument()
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()


@pytest.fixture
def cache(cache_on, colour, valkey):
    valkey.flush()
    return Both(cache_on(valkey), colour)


def operation(**changes):
    given = {
        "alias": "default",
        "name": "get",
        "commands": ("GET",),
        "round_trips": 1,
        "seconds": 0.25,
        "node": NODE,
        **changes,
    }
    return Operation(**given)


# -- Spans ------------------------------------------------------------------


def test_an_operation_is_one_span(telemetry, cache, valkey):
    cache.get("secret-key")
    (span,) = telemetry.spans
    assert span.name == "cache.get"
    assert span.kind is SpanKind.CLIENT
    assert dict(span.attributes) == {
        "db.system.name": "redis",
        "db.operation.name": "GET",
        "db.namespace": "0",
        "server.address": "127.0.0.1",
        "server.port": valkey.port,
        "redpony.alias": "default",
        "redpony.round_trips": 1,
    }
    assert span.status.status_code is StatusCode.UNSET


def test_a_span_lasts_as_long_as_its_operation(telemetry, cache):
    before = time.time_ns()
    cache.get("a")
    after = time.time_ns()
    (span,) = telemetry.spans
    assert before <= span.start_time <= span.end_time <= after


def test_a_span_begins_before_the_event_by_the_operations_seconds(telemetry):
    events.emit(operation(seconds=0.25))
    (span,) = telemetry.spans
    assert span.end_time - span.start_time == 250_000_000


def test_the_parent_is_the_span_around_the_call(telemetry, cache, colour):
    if colour.is_async:

        async def view():
            with telemetry.tracer.start_as_current_span("view") as outer:
                await cache.target.aget("a")
            return outer

        outer = colour.run(view())
    else:
        with telemetry.tracer.start_as_current_span("view") as outer:
            cache.get("a")
    (span,) = telemetry.spans
    assert span.parent.span_id == outer.get_span_context().span_id
    assert span.context.trace_id == outer.get_span_context().trace_id


def test_tasks_side_by_side_keep_their_own_parents(telemetry, cache_on, valkey):
    cache = cache_on(valkey)

    async def view(number):
        with telemetry.tracer.start_as_current_span(f"view {number}") as outer:
            await asyncio.sleep(0)
            await cache.aget_or_set(f"k{number}", number)
            await cache.aget(f"k{number}")
        return outer.get_span_context().span_id

    async def views():
        return await asyncio.gather(*map(view, range(20)))

    parents = asyncio.run(views())
    found = sorted(span.parent.span_id for span in telemetry.spans)
    assert found == sorted(parents * 2)


def test_what_the_users_code_asks_is_a_sibling(telemetry, cache_on, valkey):
    cache = cache_on(valkey)
    valkey.flush()
    with telemetry.tracer.start_as_current_span("view") as outer:
        cache.get_or_set("a", lambda: cache.get("inner", 1))
    assert [span.name for span in telemetry.spans] == ["cache.get", "cache.get_or_set"]
    assert {span.parent.span_id for span in telemetry.spans} == {
        outer.get_span_context().span_id
    }


def test_an_operation_without_a_span_around_it_is_a_root(telemetry, cache):
    cache.get("a")
    assert telemetry.spans[0].parent is None


@pytest.mark.parametrize(
    ("commands", "name", "size"),
    [
        (("GET",), "GET", None),
        (("SET", "SET", "SET"), "PIPELINE SET", 3),
        (("GET", "SET", "GET"), "PIPELINE", 3),
        ((), None, None),
    ],
)
def test_several_commands_are_a_pipeline(telemetry, commands, name, size):
    events.emit(operation(commands=commands))
    attributes = telemetry.spans[0].attributes
    assert attributes.get("db.operation.name") == name
    assert attributes.get("db.operation.batch.size") == size


@pytest.mark.parametrize(
    ("node", "place"),
    [
        ("127.0.0.1:6379/0", ("127.0.0.1", 6379, "0")),
        ("cache.example:6380/15", ("cache.example", 6380, "15")),
        ("[::1]:6379/2", ("::1", 6379, "2")),
        ("unix:/run/redis/s.sock/3", ("/run/redis/s.sock", None, "3")),
        ("embedded/0", ("embedded", None, "0")),
        ("what is this", ("what is this", None, None)),
    ],
)
def test_a_node_is_told_as_address_port_and_database(telemetry, node, place):
    events.emit(operation(node=node))
    attributes = telemetry.spans[0].attributes
    assert (
        attributes["server.address"],
        attributes.get("server.port"),
        attributes.get("db.namespace"),
    ) == place


def test_a_cache_on_a_unix_socket_says_so(telemetry, cache_on, valkey):
    cache_on(None, LOCATION=valkey.unix_url(2)).get("a")
    attributes = telemetry.spans[0].attributes
    assert attributes["server.address"] == valkey.socket_path
    assert attributes["db.namespace"] == "2"
    assert "server.port" not in attributes


# -- Errors -----------------------------------------------------------------


def test_an_error_reply_is_told_by_its_code(telemetry, cache):
    cache.set("a", "no list")
    with pytest.raises(TypeError):
        cache.lpush("a", 1)
    span = telemetry.spans[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "WRONGTYPE"
    assert span.attributes["db.response.status_code"] == "WRONGTYPE"


def test_an_error_is_told_by_its_class_and_not_by_its_text(telemetry, cache):
    with pytest.raises(ValueError, match="secret-key"):
        cache.incr("secret-key")
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ValueError"
    assert "secret" not in span.to_json()


def test_an_unavailable_server_is_told_by_our_class(telemetry, cache_on, colour):
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    cache = Both(cache_on(None, LOCATION=nobody), colour)
    with pytest.raises(Unavailable):
        cache.get("a")
    (span,) = telemetry.spans
    assert span.attributes["error.type"] == "redpony.errors.Unreachable"
    assert "db.response.status_code" not in span.attributes


def test_neither_key_nor_value_is_in_anything_that_is_exported(telemetry, cache):
    cache.set("secret-key", "secret-value")
    cache.get_many(["secret-key", "secret-other"])
    cache.hset("secret-hash", "secret-field", "secret-value")
    with pytest.raises(NotAnInteger):
        cache.incr("secret-key")
    told = "".join(span.to_json() for span in telemetry.spans)
    assert len(telemetry.spans) == 4
    assert "secret" not in told + telemetry.reader.get_metrics_data().to_json()


# -- Metrics ----------------------------------------------------------------


def test_the_duration_is_a_histogram_in_seconds(telemetry):
    events.emit(operation(seconds=0.25))
    events.emit(operation(seconds=0.75))
    (point,) = telemetry.metrics()["db.client.operation.duration"]
    assert (point.count, point.sum) == (2, 1.0)
    assert point.explicit_bounds[:3] == (0.001, 0.005, 0.01)
    assert dict(point.attributes) == {
        "db.system.name": "redis",
        "db.operation.name": "GET",
        "db.namespace": "0",
        "server.address": "127.0.0.1",
        "server.port": 6379,
    }


def test_the_size_of_a_batch_makes_no_new_series(telemetry):
    for size in range(2, 50):
        events.emit(operation(commands=("SET",) * size))
    assert len(telemetry.metrics()["db.client.operation.duration"]) == 1


def test_failed_operations_are_a_series_of_their_own(telemetry):
    events.emit(operation())
    events.emit(operation(error=NotAnInteger("ERR value is not an integer")))
    points = telemetry.metrics()["db.client.operation.duration"]
    found = [point.attributes.get("error.type") for point in points]
    assert sorted(map(str, found)) == ["ERR", "None"]


def test_degraded_operations_are_counted(telemetry, cache_on, colour):
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    cache = Both(cache_on(None, LOCATION=nobody, ON_ERROR="degrade"), colour)
    for _ in range(3):
        cache.get("a")
    points = telemetry.metrics()["redpony.degraded"]
    assert sum(point.value for point in points) == 3
    assert {point.attributes["redpony.operation"] for point in points} == {"get"}
    assert {point.attributes["redpony.alias"] for point in points} == {"default"}


def test_repetitions_breakers_and_refused_values_are_counted(telemetry):
    gone = Unavailable("away")
    events.emit(Retried("", NODE, ("GET",), 2, gone))
    events.emit(BreakerChanged("", NODE, "open", gone))
    events.emit(BreakerChanged("", NODE, "closed"))
    events.emit(Refused("default", "tampered", "detail"))
    events.emit(Degraded("default", "get", gone))
    found = telemetry.metrics()
    (retried,) = found["redpony.retries"]
    assert retried.value == 1
    assert retried.attributes["server.port"] == 6379
    changes = found["redpony.breaker.changes"]
    assert sorted(each.attributes["redpony.breaker.state"] for each in changes) == [
        "closed",
        "open",
    ]
    (refused,) = found["redpony.refused"]
    assert dict(refused.attributes) == {
        "redpony.alias": "default",
        "redpony.reason": "tampered",
    }


# -- On and off -------------------------------------------------------------


def test_uninstrumented_operations_are_not_told(telemetry, cache):
    uninstrument()
    cache.get("a")
    assert telemetry.spans == []
    assert not events.listening


def test_uninstrumenting_twice_does_no_harm(telemetry):
    uninstrument()
    uninstrument()


def test_instrumenting_twice_tells_once(telemetry, cache):
    telemetry.instrument()
    cache.get("a")
    assert len(telemetry.spans) == 1


def test_suppressed_instrumentation_is_heeded(telemetry, cache_on, valkey):
    cache = cache_on(valkey)
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        cache.get("a")
    finally:
        context.detach(token)
    assert telemetry.spans == []


def test_importing_it_without_the_library_says_what_to_install():
    program = """
import sys
sys.modules["opentelemetry"] = None
try:
    import redpony.contrib.opentelemetry
except ImportError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 'pip install "redpony[otel]"' in run.stdout
