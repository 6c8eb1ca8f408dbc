"""F17: the server reads its data and answers nothing else."""

from __future__ import annotations

import pytest
import redis

from redpony.errors import Loading
from tests.servers import until

TOPOLOGIES = ("single",)
FLAVOURS = ("valkey", "redis")

KEYS = 4_000
MICROSECONDS = 500
"""What each key takes to load: two seconds in all."""


@pytest.fixture
def slowly(place):
    """Return a function that starts the server anew, with two seconds to load."""
    server = place.handle

    def start():
        server.ask("DEBUG", "POPULATE", KEYS)
        server.ask("SAVE")
        server.kill()
        server.settings += (
            f"key-load-delay {MICROSECONDS}",
            "loading-process-events-interval-bytes 1024",
        )
        server.launch()
        until(lambda: is_loading(server), f"{server!r} loads")

    return start


def is_loading(server):
    try:
        server.ask("PING")
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.exceptions.ConnectionError:
        return False
    raise AssertionError("it is done already")


def test_the_error_says_so_and_the_breaker_stays_closed(place, caller, slowly):
    cache = caller(place.cache())
    assert cache.set("key", "value")
    slowly()
    for _ in range(20):
        for method, args in (("get", ("key",)), ("set", ("key", 1)), ("incr", ("n",))):
            met = cache.meets(method, *args)
            assert isinstance(met, Loading)
            assert met.outcome in ("refused", "not_sent")
    assert cache.breakers == {"closed"}
    place.handle.await_answer()
    # At once, with the first call.
    assert cache.get("key") == "value"


def test_a_site_that_goes_on_without_is_answered(place, caller, slowly):
    cache = caller(place.cache(ON_ERROR="degrade"))
    assert cache.set("key", "value")
    slowly()
    assert cache.get("key", "default") == "default"
    assert cache.set("key", "later") is False
    assert cache.get_or_set("key", lambda: "made") == "made"
    place.handle.await_answer()
    assert cache.get("key") == "value"


def test_a_crowd_waits_for_the_server_without_giving_it_up(place, workload, slowly):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        load.go_on()
        slowly()
        load.until(lambda: load.failures["Loading"] > 200)
        place.handle.await_answer()
        load.go_on(3)
    # What was written between SAVE and the kill is gone, or as it was before.
    load.verdict(may_lose=True, stale_reads=True)
