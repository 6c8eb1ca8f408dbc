"""F21: a primary comes back that has been replaced."""

from __future__ import annotations

import contextlib
import time

import pytest

from redpony.errors import RedponyError, Unavailable
from redpony.testing.chaos import Proxies
from redpony.wire.topology import watch
from tests.faults.failovers import Books
from tests.servers import until

TOPOLOGIES = ("sentinel",)
FLAVOURS = ("valkey", "redis")


def test_nobody_writes_to_one_that_slept_while_it_was_replaced(place, workload, record):
    old = place.handle.primary
    with workload(place.cache(), pace=0.005) as load:
        load.go_on(3)
        old.pause()
        place.handle.await_primary_other_than(old)
        load.go_on(3)
        old.resume()
        books = Books(old)
        # It does not know yet, and takes whatever it is given.
        assert old.role == "primary"
        load.go_on(20)
        assert books.written() == []
        assert old.role == "primary"
    load.verdict()
    record(failovers=1)


def test_nobody_writes_to_one_that_was_started_again(place, workload, caller, record):
    old = place.handle.primary
    with workload(place.cache(), pace=0.005) as load:
        load.go_on(3)
        old.kill()
        place.handle.await_primary_other_than(old)
        load.go_on(3)
        old.start()
        books = Books(old)
        assert old.role == "primary"
        load.go_on(20)
        late = caller(place.cache())
        assert late.set("late", "value")
        assert books.written() == []
        assert old.role == "primary"
    load.verdict()
    record(failovers=1)


@pytest.fixture
def deaf(place, cache_on):
    """Return a cache that reaches sentinels through proxies, and the proxies."""
    with Proxies(place.handle.sentinels) as proxies:
        yield (
            cache_on(
                None,
                LOCATION=f"redis+sentinel://{proxies.hosts}/{place.handle.service}/0",
                ADDRESS_REMAP=proxies.remap,
            ),
            proxies,
        )


def test_who_heard_nothing_and_did_nothing_knows_soon_after(
    place, deaf, caller, monkeypatch
):
    # Nobody complains for so long that the watcher has come to rest.
    monkeypatch.setattr(watch, "CALM", 0.1)
    cache, proxies = caller(deaf[0]), deaf[1]
    assert cache.set("key", "value")
    old = place.handle.primary
    with contextlib.ExitStack() as silence:
        for proxy in proxies:
            silence.enter_context(proxy.down())
        old.pause()
        new = place.handle.await_primary_other_than(old)
        old.resume()
        books = Books(old)
    until(
        lambda: new.port in {node.address.port for node in cache.link.shape.primaries},
        "the watcher has found the new primary",
    )
    for turn in range(20):
        assert cache.set("key", turn)
    assert books.written() == []
    assert cache.get("key") == 19


def test_who_heard_nothing_and_went_on_writes_to_it_until_told(
    place, deaf, workload, record
):
    cache, proxies = deaf
    old = place.handle.primary
    with workload(cache, pace=0.005) as load:
        load.go_on(3)
        with contextlib.ExitStack() as silence:
            for proxy in proxies:
                silence.enter_context(proxy.down())
            old.pause()
            new = place.handle.await_primary_other_than(old)
            old.resume()
            # No sentinel can tell: it is as if nothing had happened.
            load.go_on(3)
        link = cache.alias.link
        load.until(lambda: new.port == link.shape.primaries[0].address.port)
        load.go_on(3)
        books = Books(old)
        load.go_on(20)
        assert books.written() == []
    load.verdict()
    record(failovers=1)


def test_one_that_is_asleep_holds_nobody_beyond_the_deadline(place, caller):
    cache = caller(place.cache())
    assert cache.incr("n", ignore_key_check=True) == 1
    place.handle.settled()
    old = place.handle.primary
    old.pause()
    unknown = 0
    while isinstance(
        met := cache.tries("incr", "n", ignore_key_check=True), Unavailable
    ):
        unknown += met.outcome == "unknown"
        time.sleep(0.005)
    assert isinstance(met, int)
    # What was in the old one's buffers stays there.
    assert met == 2
    assert unknown >= 1
    place.handle.await_primary_other_than(old)
    old.resume()
    Books(old)
    try:
        assert cache.incr("n", ignore_key_check=True) == 3
    except RedponyError as error:  # a server that is asleep may be asked once more
        raise AssertionError(f"met {error!r} after the failover") from error
