"""Events of what goes wrong, and how the seam treats those who listen."""

import contextlib
import logging
import signal
import socket
import time

import pytest

from redpony import events
from redpony.errors import CircuitOpen, DeadlineExceeded, Unavailable
from redpony.events import BreakerChanged, Connection, Degraded, Refused, Retried
from tests.colours import Both
from tests.hostile import FakeServer, answers
from tests.plans.recorder import Recorder

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def lines(caplog):
    """Return a function that returns the log lines of `redpony` so far."""
    caplog.set_level(logging.DEBUG, logger="redpony")
    return lambda: caplog.records


def eventually(condition):
    """Return True as soon as the condition holds, with a server or without."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(Unavailable):
            if condition():
                return True
        time.sleep(0.002)
    return False


# -- The seam ---------------------------------------------------------------


def test_a_handler_gets_the_kinds_that_it_asked_for():
    with Recorder(Degraded) as some, Recorder() as everything:
        events.emit(Retried("a", "n", ("GET",), 2, OSError()))
        events.emit(Degraded("a", "get", Unavailable("no")))
    assert [type(event) for event in some.events] == [Degraded]
    assert [type(event) for event in everything.events] == [Retried, Degraded]


def test_a_handler_that_has_left_hears_nothing():
    with Recorder() as told:
        pass
    events.emit(Degraded("a", "get", Unavailable("no")))
    assert told.events == []


def test_leaving_twice_does_no_harm():
    leave = events.subscribe(lambda event: None)
    leave()
    leave()


def test_one_handler_subscribed_twice_hears_twice_and_leaves_once():
    heard = []
    first = events.subscribe(heard.append, Degraded)
    second = events.subscribe(heard.append, Degraded)
    first()
    events.emit(Degraded("a", "get", Unavailable("no")))
    second()
    events.emit(Degraded("a", "get", Unavailable("no")))
    assert len(heard) == 1


def test_a_failing_handler_disturbs_neither_the_operation_nor_the_others(
    cache_on, valkey, colour, lines
):
    def fail(event):
        raise RuntimeError("a listener's fault")

    cache = Both(cache_on(valkey), colour)
    leave = events.subscribe(fail)
    try:
        with Recorder(events.Operation) as told:
            cache.set("a", 1)
            assert cache.get("a") == 1
    finally:
        leave()
    assert [event.name for event in told.events] == ["set", "get"]


def test_a_signal_that_interrupts_a_handler_reaches_the_caller():
    """A worker's soft time limit may come while somebody listens, too."""

    class TimeLimit(Exception):
        pass

    def strike(*_):
        raise TimeLimit

    before = signal.signal(signal.SIGUSR1, strike)
    leave = events.subscribe(lambda event: signal.raise_signal(signal.SIGUSR1))
    try:
        with pytest.raises(TimeLimit):
            events.emit(Degraded("a", "get", Unavailable("no")))
    finally:
        leave()
        signal.signal(signal.SIGUSR1, before)


def test_a_failing_handler_is_logged_once(cache_on, valkey, lines):
    def fail(event):
        raise RuntimeError("a listener's fault")

    cache = cache_on(valkey)
    leave = events.subscribe(fail)
    try:
        for _ in range(5):
            cache.get("a")
    finally:
        leave()
    assert [line.levelname for line in lines()] == ["ERROR"]
    assert "An event handler failed" in lines()[0].message


def test_another_failing_handler_is_logged_too_even_where_the_first_one_was(lines):
    # The next function often gets the address of one that is gone.
    for _ in range(20):

        def fail(event):
            raise RuntimeError("a listener's fault")

        leave = events.subscribe(fail)
        events.emit(Degraded("a", "get", Unavailable("no")))
        leave()
        del fail, leave
    assert len(lines()) == 20


# -- Degraded ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [
        ("get", ("a", "default"), "default"),
        ("set", ("a", 1), False),
        ("get_many", (["a", "b"],), {}),
        ("set_many", ({"a": 1, "b": 2},), ["a", "b"]),
        ("delete_many", (["a", "b"],), 0),
        ("keys", ("*",), []),
    ],
)
def test_degrading_is_told_once_an_operation(cache_on, colour, name, args, answer):
    cache = Both(cache_on(None, LOCATION=NOBODY, ON_ERROR="degrade"), colour)
    with Recorder(Degraded) as told:
        assert getattr(cache, name)(*args) == answer
    (event,) = told.events
    assert (event.alias, event.name) == ("default", name)
    assert isinstance(event.error, Unavailable)


def test_nothing_degrades_where_the_policy_is_to_raise(cache_on, colour):
    cache = Both(cache_on(None, LOCATION=NOBODY), colour)
    with Recorder(Degraded) as told, pytest.raises(Unavailable):
        cache.get("a")
    assert told.events == []


def test_a_server_that_keeps_silent_degrades_by_its_deadline(
    cold_server, cache_on, colour
):
    server = cold_server()
    cache = Both(cache_on(server, ON_ERROR="degrade", DEADLINE=0.05), colour)
    cache.set("a", 1)
    server.pause()
    with Recorder(Degraded) as told:
        assert cache.get("a", "default") == "default"
    server.resume()
    (event,) = told.events
    assert isinstance(event.error, DeadlineExceeded)


# -- Retried ----------------------------------------------------------------


def test_a_read_whose_connection_broke_is_told_as_repeated(cache_on, colour):
    def cuts(peer):
        peer.greet()
        peer.close()

    with FakeServer(cuts, answers(b"$1\r\n7\r\n")) as fake:
        cache = Both(cache_on(None, LOCATION=fake.url), colour)
        with Recorder(Retried) as told:
            assert cache.get("secret-key") == 7
    (event,) = told.events
    assert event.commands == ("GET",)
    assert event.attempt == 2
    assert event.node == f"{fake.host}:{fake.port}/0"
    assert isinstance(event.error, Unavailable)
    assert "secret" not in repr(event)


def test_a_write_whose_connection_broke_is_not_repeated(cache_on, colour):
    def cuts(peer):
        peer.greet()
        peer.close()

    with FakeServer(cuts, answers(b"+OK\r\n")) as fake:
        cache = Both(cache_on(None, LOCATION=fake.url), colour)
        with Recorder(Retried) as told, pytest.raises(Unavailable) as caught:
            cache.set("a", 1)
    assert told.events == []
    assert caught.value.outcome == "unknown"


# -- BreakerChanged ---------------------------------------------------------


def test_the_breaker_tells_when_it_opens_and_when_it_closes_again(
    cold_server, cache_on, colour
):
    server = cold_server()
    cooldown = {"FAILURES": 2, "COOLDOWN": 0.05}
    cache = Both(cache_on(server, BREAKER=cooldown), colour)
    cache.set("a", 1)
    server.stop()
    with Recorder(BreakerChanged) as told:
        with pytest.raises(CircuitOpen):
            for _ in range(10):
                with pytest.raises(Unavailable) as caught:
                    cache.get("a")
                if isinstance(caught.value, CircuitOpen):
                    raise caught.value
        server.start()
        assert eventually(lambda: cache.get("a") is None)
    states = [event.state for event in told.events]
    assert states[0] == "open"
    assert states[-2:] == ["half-open", "closed"]
    assert {event.node for event in told.events} == {f"127.0.0.1:{server.port}/0"}
    assert isinstance(told.events[0].error, Unavailable)


# -- Refused ----------------------------------------------------------------


def tamper(cache, server, key, change):
    full = cache.target.make_key(key)
    client = server.client()
    client.set(full, change(client.get(full)))


@pytest.mark.parametrize("name", ["get", "get_many", "get_or_set"])
def test_a_value_that_was_tampered_with_is_told_and_missed(
    cache_on, valkey, colour, name
):
    valkey.flush()
    cache = Both(cache_on(valkey), colour)
    cache.set("secret-key", "secret-value")
    tamper(cache, valkey, "secret-key", lambda data: data[:-1] + b"x")
    calls = {
        "get": lambda: cache.get("secret-key", "missed"),
        "get_many": lambda: cache.get_many(["secret-key"]) or "missed",
        "get_or_set": lambda: cache.get_or_set("secret-key", lambda: "missed"),
    }
    with Recorder(Refused) as told:
        assert calls[name]() == "missed"
    assert {(event.alias, event.reason) for event in told.events} == {
        ("default", "tampered")
    }
    assert "secret" not in repr(told.events)


def test_a_value_in_another_format_is_told_and_missed(cache_on, valkey, colour):
    valkey.flush()
    cache = Both(cache_on(valkey), colour)
    valkey.client().set(cache.target.make_key("a"), b"a pickle, or what not")
    with Recorder(Refused) as told:
        assert cache.get("a", "missed") == "missed"
    assert [event.reason for event in told.events] == ["format"]


def test_a_value_under_an_unknown_key_is_told_and_missed(cache_on, valkey, colour):
    valkey.flush()
    first = Both(
        cache_on(valkey, SEAL_KEYS=["one key, long enough for a seal"]), colour
    )
    second = Both(
        cache_on(valkey, SEAL_KEYS=["another, long enough for a seal"]), colour
    )
    first.set("a", "x")
    with Recorder(Refused) as told:
        assert second.get("a", "missed") == "missed"
    assert [(event.alias, event.reason) for event in told.events] == [
        ("second", "unknown key")
    ]


# -- Connection -------------------------------------------------------------


def test_opening_and_losing_a_connection_is_told(cold_server, cache_on):
    server = cold_server()
    cache = cache_on(server)
    with Recorder(Connection) as told:
        cache.get("a")
        server.stop()
        with pytest.raises(Unavailable):
            cache.get("a")
    assert [event.change for event in told.events][:2] == ["opened", "closed"]
    assert {event.node for event in told.events} == {f"127.0.0.1:{server.port}/0"}
    with socket.socket() as probe:
        assert probe.connect_ex((server.host, server.port)) != 0
