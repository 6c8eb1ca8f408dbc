"""The figures that a release has to reach, and which of them a run missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.results import Results

Worst = Callable[[Iterable[float]], float]

POOL_SIZE = 20
DEADLINE_AND_CONNECTING = 0.75


@dataclass(frozen=True)
class Target:
    """A figure: what it says, how a run's results give it, and its bound."""

    title: str
    figure: Callable[[Results], float | None]
    bound: float
    at_least: bool = False
    unit: str = ""

    def reached(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        return f"{self.title}: {word} {self.bound:g}{self.unit}"


def _of_floor(row: str) -> Callable[[Results], float]:
    return lambda results: results["rows"][row]["ours"]["of_floor"][0]


def _share_of_floor(row: str) -> Callable[[Results], float | None]:
    return lambda results: 1 / results["rows"][row]["ours"]["of_floor"][0]


def _faster(row: str, key: str) -> Callable[[Results], float | None]:
    return lambda results: results["rows"][row]["ours"][key][0]


def _cpu_of_redis_py(results: Results) -> float:
    row = results["rows"]["get"]
    return float(row["ours"]["cpu_us"] / row["redis-py"]["cpu_us"])


def _incr_of_get(results: Results) -> float:
    # By way of the floor, whose two commands cost the same: the rows were measured
    # one after the other, and the machine may have changed its speed in between.
    incr, get = _of_floor("incr")(results), _of_floor("get")(results)
    return float(incr) / float(get)


def _incr_round_trips(results: Results) -> float:
    return float(results["rows"]["incr"]["ours"]["round_trips"])


def _longest_held(results: Results) -> float:
    return max(
        held
        for scene in results["outage"].values()
        for name, row in scene.items()
        if name.startswith("ours")
        for held in row["calls"]
    )


def _breaker_open(results: Results) -> float | None:
    found = [
        row["open_ms"]
        for scene in results["outage"].values()
        for name, row in scene.items()
        if name.startswith("ours")
    ]
    return None if not found or None in found else max(found)


def _crowd(colour: str, key: str) -> Callable[[Results], float | None]:
    return lambda results: results["connections"][colour]["ours"][key]


def _cluster(colour: str) -> Callable[[Results], float | None]:
    return lambda results: results["cluster"][colour]["ours"]["of_one_server"][0]


TARGETS = (
    Target("`get` of a small dict, times the floor", _of_floor("get"), 1.5),
    Target("`get`, CPU, times redis-py's", _cpu_of_redis_py, 0.6),
    Target("`get_many` of 100, times the floor", _of_floor("get_many"), 6),
    Target(
        "`set_many` of 100, times faster than the best peer",
        _faster("set_many", "faster_than_best_peer"),
        2.5,
        at_least=True,
    ),
    Target("`incr`, times `get`", _incr_of_get, 1.3),
    Target("`incr`, round trips", _incr_round_trips, 1),
    Target(
        "`aget`, 200 concurrent, share of the floor",
        _share_of_floor("aget_200"),
        0.35,
        at_least=True,
    ),
    Target(
        "`aget`, 200 concurrent, times faster than django-redis",
        _faster("aget_200", "faster_than_django_redis"),
        15,
        at_least=True,
    ),
    Target(
        "`aget`, one at a time, share of the floor",
        _share_of_floor("aget_1"),
        0.6,
        at_least=True,
    ),
    Target(
        "silent server, longest time held",
        _longest_held,
        DEADLINE_AND_CONNECTING,
        unit=" s",
    ),
    Target("silent server, breaker open", _breaker_open, 1, unit=" ms"),
    Target("cluster, `get_many` of 300, times one server's", _cluster("sync"), 1.5),
    Target("cluster, `aget_many` of 300, times one server's", _cluster("async"), 1.5),
    Target("connections, 300 threads", _crowd("sync", "peak"), POOL_SIZE),
    Target("connections, 300 threads, refused", _crowd("sync", "refused"), 0),
    Target(
        "connections, 300 `async_to_sync`",
        _crowd("async_to_sync", "peak"),
        POOL_SIZE,
    ),
    Target(
        "connections, 300 `async_to_sync`, refused",
        _crowd("async_to_sync", "refused"),
        0,
    ),
)


def _uncontended(colour: str) -> Iterator[Target]:
    for form, title in (("pair", "reused"), ("fresh", "new each time")):

        def of(name: str, key: str, form: str = form) -> Callable[[Results], float]:
            def figure(results: Results) -> float:
                found = results["locks"]["uncontended"][colour][form]
                return float(found[name][key][0])

            return figure

        lock = f"lock, {colour}, {title}"
        yield Target(f"{lock}, times SET + GET", of("ours", "of_floor"), 1.45)
        yield Target(
            f"{lock}, plain, times SET + GET", of("ours, plain", "of_floor"), 1.1
        )
        yield Target(f"{lock}, times redis-py's", of("ours", "of_redis_py"), 1)
        yield Target(f"{lock}, CPU, times redis-py's", of("ours", "cpu_of_redis_py"), 1)


def _contended(crowd: str) -> Iterator[Target]:
    def of(key: str) -> Callable[[Results], float]:
        return lambda results: results["locks"]["handover"][crowd]["ours"][key][0]

    yield Target(f"lock, {crowd}, hand-over", of("median_ms"), 0.5, unit=" ms")
    yield Target(f"lock, {crowd}, round trips", of("round_trips"), 2.5)
    yield Target(f"lock, {crowd}, Jain's index", of("jain"), 0.99, at_least=True)


def _waiting(key: str) -> Callable[[Results], float]:
    return lambda results: results["locks"]["crowd"]["ours"][key][0]


def _off(seconds: str) -> Callable[[Results], float | None]:
    """Return by how many milliseconds ours gave up too late, or too early."""

    def figure(results: Results) -> float | None:
        row = results["locks"]["patience"][seconds]
        taken = [each for name, each in row.items() if name in OURS]
        if len(taken) < len(OURS) or any(each["error"] for each in taken):
            return None
        return max(abs(late) for each in taken for late in each["late_ms"])

    return figure


OURS = ("ours", "ours, asyncio")

LOCKS = (
    *_uncontended("sync"),
    *_uncontended("async"),
    *_contended("8 threads"),
    *_contended("4 processes"),
    Target(
        "lock, 200 tasks wait, requests a second", _waiting("requests_per_second"), 2
    ),
    Target("lock, 200 tasks are served, times ideal", _waiting("of_ideal"), 1.5),
    Target("lock, patience of 8 s, off by", _off("8"), 50, unit=" ms"),
)


def _standing(key: str) -> Callable[[Results], float]:
    """Return the most that ours holds more with many streams than with the fewest."""

    def figure(results: Results) -> float:
        rows = [results["realtime"]["standing"][each] for each in STREAMS]
        found = [
            [at[key] for number, at in row.items() if number != "0"] for row in rows
        ]
        return float(max(max(each) - each[0] for each in found))

    return figure


def _databases(results: Results) -> float:
    rows = [results["realtime"]["standing"][each] for each in STREAMS]
    return float(max(at["database"] for row in rows for at in row.values()))


def _memory(results: Results) -> float:
    rows = [results["realtime"]["standing"][each] for each in STREAMS]
    return float(max(row["1000"]["kb_a_client"] for row in rows))


def _stream(section: str, key: str, worst: Worst) -> Callable[[Results], float]:
    """Return the worse one of our two kinds of streams, its median over the rounds."""
    return lambda results: worst(
        float(results["realtime"][section][each][key][0]) for each in STREAMS
    )


def _without_loss(results: Results) -> float | None:
    rows = [results["realtime"]["speed"][each] for each in STREAMS]
    if any(row["burst_missing"] or row["burst_doubled"] for row in rows):
        return None
    return float(min(row["burst_rate"][0] for row in rows))


def _faults(results: Results) -> float:
    sections = [results["realtime"][name] for name in ("speed", "herd")]
    rows = [section[each] for section in sections for each in STREAMS]
    words = ("missing", "doubled", "disordered")
    return float(
        sum(
            value
            for row in rows
            for key, value in row.items()
            if key.endswith(words) and isinstance(value, int)
        )
    )


def _layer(results: Results) -> float:
    return float(results["realtime"]["layers"]["ours"]["rate"][0])


def _publish(colour: str) -> Callable[[Results], float]:
    return lambda results: float(
        results["realtime"]["publishing"][colour]["ours"]["of_floor"][0]
    )


STREAMS = ("ours", "ours, WebSocket")

REALTIME = (
    Target("streams, threads more with 1,000 than with 200", _standing("threads"), 8),
    Target("streams, database connections held", _databases, 0),
    Target("streams, memory a client at 1,000", _memory, 20, unit=" kB"),
    Target("CPU a delivery", _stream("speed", "cpu_us", max), 25, unit=" us"),
    Target("deliveries a second without loss", _without_loss, 80_000, at_least=True),
    Target("to the browser, p50", _stream("speed", "p50_ms", max), 8, unit=" ms"),
    Target("to the browser, p99", _stream("speed", "p99_ms", max), 20, unit=" ms"),
    Target("200 return, missed 500", _stream("herd", "seconds", max), 1, unit=" s"),
    Target("lost, doubled or out of order", _faults, 0),
    Target("channel layer, deliveries a second", _layer, 600_000, at_least=True),
    Target("`publish`, times a bare PUBLISH", _publish("sync"), 1.5),
    Target("`apublish`, times a bare PUBLISH", _publish("async"), 1.5),
)


def verdicts(
    results: Results, targets: Sequence[Target] = (*TARGETS, *LOCKS, *REALTIME)
) -> Iterator[tuple[Target, float | None, bool]]:
    """Give each target with its figure and whether the run reached it.

    A figure that the run did not take (None) is a target missed.
    """
    for target in targets:
        try:
            value = target.figure(results)
        except (KeyError, TypeError, ValueError):
            value = None
        yield target, value, value is not None and target.reached(value)
