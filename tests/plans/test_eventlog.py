"""Log lines once per burst: counted exactly, by a clock of the test's."""

from __future__ import annotations

import logging
import threading

import pytest

from redpony import eventlog
from redpony.errors import Unavailable
from redpony.eventlog import EventLog, Voice
from redpony.events import BreakerChanged, Degraded, Event, Operation, Refused, Retried
from redpony.testing import FakeClock
from tests.colours import Both
from tests.servers import free_port

NODE = "127.0.0.1:6379/0"
GONE = Unavailable(f"{NODE} is away")


def degraded(alias="default", name="get"):
    return Degraded(alias, name, GONE)


def refused(alias="default", reason="tampered"):
    return Refused(alias, reason, "The seal does not fit.")


def retried(node=NODE):
    return Retried("", node, ("GET",), 2, GONE)


def breaker(state, node=NODE):
    return BreakerChanged("", node, state, GONE if state == "open" else None)


@pytest.fixture
def clock():
    return FakeClock(0.0)


@pytest.fixture
def log(clock):
    return EventLog(every=30, quiet=5, most=4, clock=clock)


@pytest.fixture
def lines(caplog):
    """Return a function that returns the lines since it was last called."""
    caplog.set_level(logging.DEBUG)

    def lines():
        found = [
            (each.name, each.levelname, each.getMessage()) for each in caplog.records
        ]
        caplog.clear()
        return found

    return lines


def texts(lines):
    return [text for _, _, text in lines]


# -- A burst ----------------------------------------------------------------


def test_the_first_of_a_burst_is_logged_at_once(log, lines):
    log(degraded())
    assert lines() == [
        (
            "redpony",
            "WARNING",
            f"default: get was answered without the server: {NODE} is away",
        )
    ]


def test_the_rest_of_a_burst_is_silent(log, lines, clock):
    for _ in range(1000):
        log(degraded())
        clock.advance(0.01)
    assert len(lines()) == 1


def test_a_lasting_burst_tells_its_count_every_so_often(log, lines, clock):
    log(degraded())
    lines()
    for _ in range(60):
        clock.advance(1)
        log(degraded())
    assert (
        texts(lines())
        == [
            (
                "default: operations answered without the server: 30 more within 30 s; "
                f"the last: {NODE} is away"
            )
        ]
        * 2
    )


def test_a_burst_that_has_ended_tells_its_count_with_the_next_event(log, lines, clock):
    for _ in range(8):
        log(degraded())
        clock.advance(0.5)
    lines()
    clock.advance(100)
    log(degraded())
    assert texts(lines()) == [
        (
            "default: operations answered without the server: 7 more within 4 s; "
            f"the last: {NODE} is away"
        ),
        f"default: get was answered without the server: {NODE} is away",
    ]


def test_a_burst_of_one_has_nothing_to_count(log, lines, clock):
    log(degraded())
    clock.advance(100)
    log(degraded())
    assert (
        texts(lines())
        == [f"default: get was answered without the server: {NODE} is away"] * 2
    )


def test_an_event_of_another_subject_ends_it_as_well(log, lines, clock):
    log(degraded())
    log(degraded())
    lines()
    clock.advance(100)
    log(retried())
    assert [text.partition(": ")[0] for text in texts(lines())] == ["default", NODE]


def test_without_another_event_nothing_is_told_for_nothing_runs(log, lines, clock):
    threads = threading.active_count()
    log(degraded())
    log(degraded())
    lines()
    clock.advance(10_000)
    assert lines() == []
    assert threading.active_count() == threads


def test_flushing_tells_what_is_left(log, lines):
    for _ in range(3):
        log(degraded())
    lines()
    log.flush()
    log.flush()
    assert len(texts(lines())) == 1


def test_after_flushing_a_burst_begins_anew(log, lines):
    log(degraded())
    log.flush()
    log(degraded())
    assert len(lines()) == 2


# -- Subjects ---------------------------------------------------------------


def test_subjects_are_told_apart(log, lines):
    for _ in range(10):
        log(degraded("default"))
        log(degraded("second"))
        log(refused("default", "tampered"))
        log(refused("default", "format"))
    assert len(lines()) == 4


def test_operations_of_one_alias_are_one_subject(log, lines):
    for name in ("get", "set", "keys"):
        log(degraded(name=name))
    assert len(lines()) == 1


def test_a_refused_value_is_told_with_its_reason(log, lines):
    log(refused())
    assert lines() == [
        (
            "redpony",
            "WARNING",
            "default: a stored value was not used (tampered): The seal does not fit.",
        )
    ]


def test_a_repetition_is_told_for_information(log, lines):
    log(retried())
    assert lines() == [
        (
            "redpony",
            "INFO",
            f"{NODE}: GET was sent again (attempt 2): {NODE} is away",
        )
    ]


def test_a_long_flight_is_told_in_short(log, lines):
    log(Retried("", NODE, ("MGET",) * 500, 2, GONE))
    assert "MGET and 499 more was sent again" in texts(lines())[0]


def test_the_breaker_is_told_when_it_opens_and_closes_at_one_level(log, lines):
    log(breaker("open"))
    log(breaker("half-open"))
    log(breaker("closed"))
    assert lines() == [
        ("redpony", "WARNING", f"{NODE} failed and is left alone: {NODE} is away"),
        ("redpony", "WARNING", f"{NODE} answers again"),
    ]


def test_a_node_that_answers_again_brings_the_count_of_what_it_cost(log, lines, clock):
    log.add("default", Voice(node=NODE))
    log(breaker("open"))
    for _ in range(5):
        log(degraded())
        log(retried())
    lines()
    clock.advance(1)
    log(breaker("closed"))
    assert texts(lines()) == [
        f"{NODE} answers again",
        (
            "default: operations answered without the server: 4 more within 0 s; "
            f"the last: {NODE} is away"
        ),
        f"{NODE}: commands sent again: 4 more within 0 s; the last: {NODE} is away",
    ]


def test_a_node_that_answers_again_tells_nothing_of_others(log, lines):
    log.add("default", Voice(node="another:6379/0"))
    log(degraded())
    log(degraded())
    lines()
    log(breaker("closed"))
    assert texts(lines()) == [f"{NODE} answers again"]


def test_a_node_that_comes_and_goes_is_a_burst_too(log, lines, clock):
    log.add("default", Voice(node=NODE))
    for _ in range(100):
        log(breaker("open"))
        log(degraded())
        log(breaker("closed"))
        clock.advance(0.1)
    assert len(lines()) == 3


def test_operations_are_not_told(log, lines):
    log(Operation("default", "get", ("GET",), 1, 0.1, NODE))
    log(Event("default"))
    assert lines() == []


# -- Aliases ----------------------------------------------------------------


def test_an_alias_speaks_through_its_own_logger(log, lines):
    log.add("second", Voice(logger="shop.cache"))
    log(degraded("second"))
    log(refused("second"))
    log(degraded("default"))
    assert [name for name, _, _ in lines()] == ["shop.cache", "shop.cache", "redpony"]


def test_a_node_speaks_through_the_logger_of_an_alias_on_it(log, lines):
    log.add("", Voice(logger="nobody's"))
    log.add("second", Voice(logger="shop.cache", node=NODE))
    log(breaker("open"))
    log(retried())
    log(retried("elsewhere:6379/0"))
    assert [name for name, _, _ in lines()] == ["shop.cache", "shop.cache", "redpony"]


def test_an_alias_may_keep_silent_about_what_it_degrades(log, lines):
    log.add("default", Voice(log_degraded=False))
    log(degraded())
    log(refused())
    assert len(lines()) == 1


# -- Bounds -----------------------------------------------------------------


def test_subjects_beyond_the_bound_make_room_and_tell_their_count(log, lines):
    log(degraded("first"))
    log(degraded("first"))
    lines()
    for number in range(4):
        log(degraded(f"alias{number}"))
    assert [text.partition(" ")[0] for text in texts(lines())] == [
        "alias0:", "alias1:", "alias2:", "first:", "alias3:",
    ]  # fmt: skip


def test_memory_is_bounded_whatever_comes(log, lines):
    for number in range(1000):
        log(degraded(f"alias{number}"))
        log(retried(f"node{number}:1/0"))
    assert len(log._bursts) == 4
    assert len(lines()) == 2000


def test_threads_together_write_one_line_and_lose_no_count(lines, clock):
    log = EventLog(clock=clock)
    gate = threading.Barrier(8)

    def work():
        gate.wait()
        for _ in range(500):
            log(degraded())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines()) == 1
    log.flush()
    assert "3999 more" in texts(lines())[0]


def test_a_log_handler_that_itself_degrades_causes_no_endless_lines(log, lines):
    class Caching(logging.Handler):
        """A handler that uses the cache whose failure it reports."""

        def emit(self, record):
            log(degraded())

    handler = Caching()
    logging.getLogger("redpony").addHandler(handler)
    try:
        log(degraded())
    finally:
        logging.getLogger("redpony").removeHandler(handler)
    assert len(lines()) == 1


# -- The process' own -------------------------------------------------------


@pytest.fixture
def own_log(monkeypatch, clock):
    """Let the process' log forget, and live by the test's clock."""
    own = eventlog.event_log
    own.flush()
    monkeypatch.setattr(own, "_clock", clock)
    yield own
    own._bursts.clear()


def test_an_outage_of_a_thousand_operations_is_one_line(
    own_log, cache_on, colour, lines
):
    # A port of its own: the breaker of any other may be open already.
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    cache = Both(cache_on(None, LOCATION=nobody, ON_ERROR="degrade"), colour)
    for _ in range(1000):
        assert cache.get("secret-key", 5) == 5
    found = [line for line in lines() if line[0] == "redpony"]
    assert len(found) == 2  # the alias degrades, and the breaker opens
    assert "secret" not in repr(found)


def test_a_value_that_was_tampered_with_is_one_line_however_often_it_is_read(
    own_log, cache_on, valkey, lines
):
    valkey.flush()
    cache = cache_on(valkey)
    cache.set("secret-key", "secret-value")
    client = valkey.client()
    full = cache.make_key("secret-key")
    client.set(full, client.get(full)[:-1] + b"x")
    for _ in range(10):
        cache.get("secret-key")
    (line,) = lines()
    assert line[:2] == ("redpony", "WARNING")
    assert "tampered" in line[2]
    assert "secret" not in line[2]


def test_an_alias_that_is_told_to_keep_silent_does(own_log, cache_on, lines):
    cache = cache_on(
        None,
        LOCATION="redis://127.0.0.1:1/0",
        ON_ERROR="degrade",
        LOG_IGNORED_EXCEPTIONS=False,
    )
    cache.get("a")
    assert lines() == []


def test_making_aliases_does_not_ask_for_operation_events(cache_on, valkey):
    from redpony import events

    cache_on(valkey).get("a")
    assert not events.listening
