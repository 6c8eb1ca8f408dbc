"""Resources live in drivers: no plan, and nobody's code, holds a connection."""

import asyncio
import time

import pytest

from redpony.connections import link_for
from redpony.errors import RedponyError, Unavailable


class OfTheUser(Exception):
    """An exception that only the user's code raises."""


def link_of(cache):
    return link_for(cache.alias.config.link)


def in_flight(cache):
    """Return how many connections somebody holds, or waits on, in both colours."""
    link = link_of(cache)
    shared = [
        state.shared.in_flight
        for state in link.awaiting.loops.by_loop.values()
        if state.shared is not None
    ]
    return link.blocking.pool.in_use + sum(shared)


def test_no_pool_slot_is_held_while_the_users_code_runs(make_cache, both, server):
    raw = make_cache(POOL_SIZE=1)
    cache = both(raw)
    cache.set("warm", 1)
    held = []
    assert cache.get_or_set("a", lambda: held.append(in_flight(raw)) or 5) == 5
    assert held == [0]


def test_the_users_code_may_use_the_cache_through_a_pool_of_one(
    make_cache, both, server
):
    raw = make_cache(POOL_SIZE=1)
    cache = both(raw)

    async def fetch():
        await raw.aset("inner", 7)
        return await raw.aget("inner")

    def read():
        raw.set("inner", 7)
        return raw.get("inner")

    assert cache.get_or_set("a", fetch if cache.colour.is_async else read) == 7


def test_the_time_of_the_users_code_does_not_count_against_the_deadline(
    make_cache, both, server
):
    deadline = 0.1
    raw = make_cache(DEADLINE=deadline)
    cache = both(raw)

    async def fetch():
        await asyncio.sleep(deadline * 2)
        return 5

    def compute():
        time.sleep(deadline * 2)
        return 5

    made = fetch if cache.colour.is_async else compute
    assert cache.get_or_set("a", made) == 5
    assert cache.get("a") == 5


@pytest.mark.parametrize(
    "error",
    [OfTheUser("oh"), Unavailable("theirs"), RedponyError("theirs"), OSError("theirs")],
    ids=lambda error: type(error).__name__,
)
def test_the_users_own_errors_reach_the_caller_even_under_degrade(
    make_cache, both, server, error
):
    cache = both(make_cache(ON_ERROR="degrade"))

    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        cache.get_or_set("a", fail)
    assert caught.value is error
    assert cache.get("a") is None


def test_the_users_stop_iteration_reaches_the_caller_of_get_or_set(make_cache):
    cache = make_cache()

    def fail():
        raise StopIteration("theirs")

    with pytest.raises(StopIteration, match="theirs"):
        cache.get_or_set("a", fail)


def test_a_coroutine_function_in_sync_is_a_type_error_and_stores_nothing(make_cache):
    cache = make_cache()

    async def fetch():
        return 5

    with pytest.raises(TypeError, match="asyncio twin"):
        cache.get_or_set("a", fetch)
    assert cache.get("a") is None


def test_a_coroutine_from_a_plain_function_in_sync_is_a_type_error_too(make_cache):
    cache = make_cache()

    async def fetch():
        return 5

    with pytest.raises(TypeError, match="asyncio twin"):
        cache.get_or_set("a", lambda: fetch())
    assert cache.get("a") is None


def test_iterating_over_keys_holds_no_connection_between_pages(make_cache):
    cache = make_cache(POOL_SIZE=1)
    wanted = {f"k{number}" for number in range(50)}
    cache.set_many(dict.fromkeys(wanted, 1))
    found = set()
    for key in cache.iter_keys("k*", itersize=5):
        assert link_of(cache).blocking.pool.in_use == 0
        # The one connection is free for others.
        assert cache.get(key) == 1
        found.add(key)
    assert found == wanted


def test_iterating_over_keys_in_asyncio_leaves_nothing_in_flight(make_cache):
    cache = make_cache(POOL_SIZE=1)
    wanted = {f"k{number}" for number in range(50)}

    async def walk():
        await cache.aset_many(dict.fromkeys(wanted, 1))
        found = set()
        async for key in cache.aiter_keys("k*", itersize=5):
            assert in_flight(cache) == 0
            assert await cache.aget(key) == 1
            found.add(key)
        return found

    assert asyncio.run(walk()) == wanted


def test_iterating_over_keys_asks_page_by_page(make_cache, both, server):
    raw = make_cache()
    cache = both(raw)
    cache.set_many(dict.fromkeys((f"k{number}" for number in range(50)), 1))
    with server.counting() as one:
        keys = iter(cache.iter_keys("k*", itersize=5))
        next(keys)
    with server.counting() as rest:
        assert len(set(keys)) == 49
    assert one.commands["scan"] == 1
    assert rest.commands["scan"] > 2


def test_an_iteration_that_is_given_up_leaves_nothing_behind(make_cache, both, server):
    raw = make_cache(POOL_SIZE=1)
    cache = both(raw)
    cache.set_many(dict.fromkeys((f"k{number}" for number in range(50)), 1))
    keys = iter(cache.iter_keys("k*", itersize=5))
    next(keys)
    del keys
    assert in_flight(raw) == 0
    assert cache.get("k1") == 1
