"""F25: names cannot be looked up, or mean another address than before."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from redpony.errors import CircuitOpen, Unavailable, Unreachable
from redpony.wire import naming
from tests.faults.pulse import Pulse
from tests.servers import Server, free_port, until

NAME = "redis.test"
PATIENT = {"CONNECT_TIMEOUT": 2, "DEADLINE": 2}


class Resolver:
    """`getaddrinfo` for one name, as the test wants it to be."""

    def __init__(self) -> None:
        self.real = socket.getaddrinfo
        self.ports: list[int] = []
        """Where the name leads, in this order; each on 127.0.0.1."""

        self.fault: Callable[[], None] | None = None
        self.release = threading.Event()
        self.asked = 0
        self.callers: set[threading.Thread] = set()

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (NAME, NAME.encode()):
            return self.real(host, port, *args, **kwargs)
        self.asked += 1
        self.callers.add(threading.current_thread())
        if self.fault is not None:
            self.fault()
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, ("127.0.0.1", each)) for each in self.ports]

    def hangs(self) -> None:
        self.release.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    def fails(self) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def flaps(self) -> None:
        if self.asked % 2:
            self.fails()


@pytest.fixture
def resolver(monkeypatch):
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(naming, "_last_good", {})
    yield resolver
    resolver.release.set()


@pytest.fixture
def named(place, resolver, cache_on):
    """Return a function that makes a cache whose server is known by its name."""
    resolver.ports = [place.handle.port]

    def make(**options):
        location = f"redis://{NAME}:{place.handle.port}/0"
        return cache_on(None, LOCATION=location, **options)

    return make


@pytest.fixture
def other():
    """Return a second server, to which a name may move."""
    with Server() as server:
        yield server


def drop(place) -> None:
    """Close every connection, so that the next operation opens one."""
    place.drop_clients()
    until(lambda: not place.handle.users(), "the connections are closed")


def test_a_name_that_is_not_there_is_named_in_the_error(named, resolver, caller):
    resolver.fault = resolver.fails
    cache = caller(named())
    for method, args in (("get", ("key",)), ("incr", ("n",)), ("set", ("key", 1))):
        met = cache.meets(method, *args)
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"
        assert NAME in str(met)
        assert "not known" in str(met)
    # Nor is the resolver asked by every request.
    asked = resolver.asked
    assert isinstance(cache.meets("get", "key"), CircuitOpen)
    assert resolver.asked == asked


def test_a_name_that_can_never_be_there_costs_no_more_than_connecting(
    place, caller, cache_on, monkeypatch
):
    """By the machine's own resolver, which may as well have nobody to ask."""
    monkeypatch.setattr(naming, "_last_good", {})
    location = f"redis://redpony.invalid:{place.handle.port}/0"
    cache = caller(cache_on(None, LOCATION=location, ON_ERROR="degrade"))
    for _ in range(5):
        assert cache.get("key", "default") == "default"


def test_a_resolver_that_hangs_costs_no_more_than_connecting(named, resolver, caller):
    resolver.fault = resolver.hangs
    cache = caller(named(CONNECT_TIMEOUT=0.2))
    met = cache.meets("incr", "n")
    assert isinstance(met, Unreachable)
    assert met.outcome == "not_sent"
    assert NAME in str(met)


@pytest.mark.parametrize("fault", ["hangs", "fails"])
def test_the_last_good_address_is_used(named, place, resolver, caller, fault):
    cache = caller(named(**PATIENT))
    assert cache.set("key", "value")
    resolver.fault = getattr(resolver, fault)
    for _ in range(3):
        drop(place)
        assert cache.get("key") == "value"
    assert resolver.asked == 4


def test_a_name_that_moves_is_followed(named, place, resolver, caller, other):
    cache = caller(named(BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", "old")
    other.ask("SET", ":1:n", "41")
    resolver.ports = [other.port]
    place.kill()
    until(lambda: cache.tries("get", "n") == 41, "the other server is asked")
    assert cache.incr("n") == 42
    assert cache.get("key") is None


def test_a_name_that_moves_away_from_a_server_that_hangs_is_followed(
    named, place, resolver, caller, other
):
    cache = caller(named(BREAKER={"COOLDOWN": 0.05}))
    assert cache.set("key", "old")
    other.ask("SET", ":1:n", "41")
    resolver.ports = [other.port]
    place.pause()
    until(lambda: cache.tries("get", "n") == 41, "the other server is asked")
    place.resume()
    assert cache.incr("n") == 42


@pytest.mark.parametrize("down", [1, 3])
def test_each_address_of_a_name_is_tried(named, resolver, place, caller, down):
    resolver.ports = [free_port() for _ in range(down)] + [place.handle.port]
    cache = caller(named(**PATIENT))
    assert cache.incr("n", ignore_key_check=True) == 1


def test_a_name_without_addresses_is_an_error(named, resolver, caller):
    resolver.ports = []
    met = caller(named()).meets("get", "key")
    assert isinstance(met, Unavailable)
    assert met.outcome == "not_sent"


@pytest.mark.parametrize(
    "host",
    ["x" * 300, "bücher.invalid", "a..b", "ü" * 70],
    ids=["long", "not ascii", "empty label", "long label"],
)
def test_a_name_that_no_resolver_takes_is_an_error(cache_on, caller, host):
    cache = caller(cache_on(None, LOCATION=f"redis://{host}:{free_port()}/0"))
    met = cache.meets("get", "key")
    assert isinstance(met, Unreachable)
    assert met.outcome == "not_sent"


def test_the_loop_goes_on_while_a_name_is_looked_up(named, resolver):
    """No resolver is ever asked in the thread of an event loop."""
    resolver.fault = resolver.hangs
    cache = named(CONNECT_TIMEOUT=0.3)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.005)

    async def look() -> BaseException:
        beating = asyncio.create_task(beat())
        try:
            await cache.aget("key")
        except Unavailable as error:
            return error
        finally:
            beating.cancel()
        raise AssertionError

    met = asyncio.run(look())
    assert isinstance(met, Unreachable)
    assert beats > 5
    assert threading.main_thread() not in resolver.callers


def test_a_loop_that_ends_does_not_wait_for_the_resolver(named, resolver, pulse: Pulse):
    resolver.fault = resolver.hangs
    cache = named(CONNECT_TIMEOUT=0.2)
    for _ in range(3):
        with pytest.raises(Unavailable):
            asyncio.run(cache.aget("key"))
    assert not resolver.release.is_set()


def test_a_crowd_does_not_notice_a_resolver_that_comes_and_goes(
    named, place, resolver, workload
):
    with workload(named(**PATIENT, BREAKER={"COOLDOWN": 0.05})) as load:
        load.go_on()
        resolver.fault = resolver.flaps
        for _ in range(5):
            place.drop_clients()
            load.go_on()
        resolver.fault = resolver.fails
        for _ in range(5):
            place.drop_clients()
            load.go_on()
    figures = load.verdict()
    assert figures["answered"] > 0
