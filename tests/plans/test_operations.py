"""Every public operation tells of itself: one event, in both colours."""

import asyncio

import pytest

from redpony import events
from redpony.cache import RedisCache
from redpony.errors import NotAnInteger, Unavailable
from redpony.events import Operation
from tests.colours import Both
from tests.plans.recorder import Recorder

KEY, OTHER, VALUE = "secret-key", "secret-key-2", "secret-value"

# What is stored first, the arguments, the commands, and how many flights.
ONE = ("set", KEY, 1)
HASH = ("hset", KEY, "secret-field", VALUE)
SET = ("sadd", KEY, VALUE)
ZSET = ("zadd", KEY, {VALUE: 1.0})
LIST = ("rpush", KEY, VALUE)

OPERATIONS = {
    "add": (None, (KEY, VALUE), ["SET"], 1),
    "clear": (None, (), ["SCAN"], 1),
    "decr": (ONE, (KEY,), ["EVALSHA"], 1),
    "decr_version": (ONE, (KEY,), ["EVALSHA"], 1),
    "delete": (ONE, (KEY,), ["UNLINK"], 1),
    "delete_many": (ONE, ([KEY, OTHER],), ["UNLINK"], 1),
    "delete_pattern": (ONE, ("secret*",), ["SCAN", "UNLINK"], 2),
    "expire": (ONE, (KEY, 5), ["PEXPIRE"], 1),
    "expire_at": (ONE, (KEY, 4_000_000_000), ["PEXPIREAT"], 1),
    "get": (ONE, (KEY,), ["GET"], 1),
    "get_many": (ONE, ([KEY, OTHER],), ["MGET"], 1),
    "get_or_set": (None, (KEY, VALUE), ["GET", "SET", "GET"], 2),
    "has_key": (ONE, (KEY,), ["EXISTS"], 1),
    "hdel": (HASH, (KEY, "secret-field"), ["HDEL"], 1),
    "hexists": (HASH, (KEY, "secret-field"), ["HEXISTS"], 1),
    "hget": (HASH, (KEY, "secret-field"), ["HGET"], 1),
    "hgetall": (HASH, (KEY,), ["HGETALL"], 1),
    "hincrby": (None, (KEY, "secret-field"), ["HINCRBY"], 1),
    "hkeys": (HASH, (KEY,), ["HKEYS"], 1),
    "hlen": (HASH, (KEY,), ["HLEN"], 1),
    "hmget": (HASH, (KEY, ["secret-field"]), ["HMGET"], 1),
    "hset": (None, (KEY, "secret-field", VALUE), ["HSET"], 1),
    "hsetnx": (None, (KEY, "secret-field", VALUE), ["HSETNX"], 1),
    "hvals": (HASH, (KEY,), ["HGETALL"], 1),
    "incr": (ONE, (KEY,), ["EVALSHA"], 1),
    "incr_version": (ONE, (KEY,), ["EVALSHA"], 1),
    "keys": (ONE, ("secret*",), ["SCAN"], 1),
    "lindex": (LIST, (KEY, 0), ["LINDEX"], 1),
    "linsert": (LIST, (KEY, "before", VALUE, VALUE), ["LINSERT"], 1),
    "llen": (LIST, (KEY,), ["LLEN"], 1),
    "lmove": (LIST, (KEY, OTHER), ["LMOVE"], 1),
    "lpop": (LIST, (KEY,), ["LPOP"], 1),
    "lpos": (LIST, (KEY, VALUE), ["LPOS"], 1),
    "lpush": (LIST, (KEY, VALUE), ["LPUSH"], 1),
    "lrange": (LIST, (KEY,), ["LRANGE"], 1),
    "lrem": (LIST, (KEY, 0, VALUE), ["LREM"], 1),
    "lset": (LIST, (KEY, 0, VALUE), ["LSET"], 1),
    "ltrim": (LIST, (KEY, 0, 1), ["LTRIM"], 1),
    "page": (ONE, (b"0", "*secret*"), ["SCAN"], 1),
    "persist": (ONE, (KEY,), ["PERSIST"], 1),
    "pexpire": (ONE, (KEY, 5000), ["PEXPIRE"], 1),
    "pexpire_at": (ONE, (KEY, 4_000_000_000_000), ["PEXPIREAT"], 1),
    "pttl": (ONE, (KEY,), ["PTTL"], 1),
    "rpop": (LIST, (KEY,), ["RPOP"], 1),
    "rpush": (None, (KEY, VALUE), ["RPUSH"], 1),
    "sadd": (None, (KEY, VALUE), ["SADD"], 1),
    "scard": (SET, (KEY,), ["SCARD"], 1),
    "sdiff": (SET, (KEY, OTHER), ["SDIFF"], 1),
    "sdiffstore": (SET, (OTHER, KEY), ["SDIFFSTORE"], 1),
    "set": (None, (KEY, VALUE), ["SET"], 1),
    "set_many": (None, ({KEY: VALUE, OTHER: VALUE},), None, 1),
    "sinter": (SET, (KEY, OTHER), ["SINTER"], 1),
    "sinterstore": (SET, (OTHER, KEY), ["SINTERSTORE"], 1),
    "sismember": (SET, (KEY, VALUE), ["SISMEMBER"], 1),
    "smembers": (SET, (KEY,), ["SMEMBERS"], 1),
    "smismember": (SET, (KEY, VALUE), ["SMISMEMBER"], 1),
    "smove": (SET, (KEY, OTHER, VALUE), ["SMOVE"], 1),
    "spop": (SET, (KEY,), ["SPOP"], 1),
    "srandmember": (SET, (KEY,), ["SRANDMEMBER"], 1),
    "srem": (SET, (KEY, VALUE), ["SREM"], 1),
    "sscan": (SET, (KEY,), ["SSCAN"], 1),
    "sscan_page": (SET, (KEY, b"0", 10, None), ["SSCAN"], 1),
    "sunion": (SET, (KEY, OTHER), ["SUNION"], 1),
    "sunionstore": (SET, (OTHER, KEY), ["SUNIONSTORE"], 1),
    "touch": (ONE, (KEY, None), ["EXISTS", "PERSIST"], 1),
    "ttl": (ONE, (KEY,), ["PTTL"], 1),
    "zadd": (None, (KEY, {VALUE: 1.0}), ["ZADD"], 1),
    "zcard": (ZSET, (KEY,), ["ZCARD"], 1),
    "zcount": (ZSET, (KEY, 0, 2), ["ZCOUNT"], 1),
    "zincrby": (ZSET, (KEY, 1, VALUE), ["ZINCRBY"], 1),
    "zpopmax": (ZSET, (KEY,), ["ZPOPMAX"], 1),
    "zpopmin": (ZSET, (KEY,), ["ZPOPMIN"], 1),
    "zrange": (ZSET, (KEY, 0, -1), ["ZRANGE"], 1),
    "zrangebyscore": (ZSET, (KEY, 0, 2), ["ZRANGEBYSCORE"], 1),
    "zrank": (ZSET, (KEY, VALUE), ["ZRANK"], 1),
    "zrem": (ZSET, (KEY, VALUE), ["ZREM"], 1),
    "zremrangebyrank": (ZSET, (KEY, 0, -1), ["ZREMRANGEBYRANK"], 1),
    "zremrangebyscore": (ZSET, (KEY, 0, 2), ["ZREMRANGEBYSCORE"], 1),
    "zrevrange": (ZSET, (KEY, 0, -1), ["ZREVRANGE"], 1),
    "zrevrangebyscore": (ZSET, (KEY, 2, 0), ["ZREVRANGEBYSCORE"], 1),
    "zrevrank": (ZSET, (KEY, VALUE), ["ZREVRANK"], 1),
    "zscore": (ZSET, (KEY, VALUE), ["ZSCORE"], 1),
}


@pytest.fixture
def plain(cache_on, valkey):
    """Return a cache without data on one server."""
    valkey.flush()
    return cache_on(valkey)


def run(cache, colour, name, *args):
    return getattr(Both(cache, colour), name)(*args)


def test_every_public_operation_is_in_the_table():
    assert sorted(OPERATIONS) == sorted(RedisCache._planned)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_tells_its_name_commands_and_flights(plain, colour, valkey, name):
    before, args, commands, flights = OPERATIONS[name]
    run(plain, colour, "has_key", "warm")
    if name == "clear":
        valkey.flush()
    if before is not None:
        run(plain, colour, *before)
    if "EVALSHA" in (commands or ()):
        # The server has to know the script, or it is sent a second time.
        run(plain, colour, "set", "warm", 1)
        run(plain, colour, name, "warm")
    with Recorder(Operation) as told, valkey.counting() as counted:
        run(plain, colour, name, *args)
    (event,) = told.events
    assert event.alias == "default"
    assert event.name == name
    assert event.error is None
    assert event.node == f"127.0.0.1:{valkey.port}/0"
    assert event.seconds >= 0
    asked = {command.lower() for command in event.commands}
    if commands is None:
        assert asked <= {"set", "mset", "msetex"}
    else:
        assert list(event.commands) == commands
    assert asked <= counted.commands.keys()
    assert (event.round_trips, counted.reads) == (flights, flights)
    assert "secret" not in repr(event)


@pytest.mark.parametrize("name", ["iter_keys", "sscan_iter"])
def test_an_iteration_tells_of_each_page(plain, colour, name):
    both = Both(plain, colour)
    if name == "iter_keys":
        both.set_many(dict.fromkeys(map(str, range(500)), 1))
        args, page, command = ("*", 10), "page", "SCAN"
    else:
        both.sadd(KEY, *(f"m{number}" for number in range(5000)))
        args, page, command = (KEY, None, 10), "sscan_page", "SSCAN"
    with Recorder(Operation) as told:
        assert len(list(getattr(both, name)(*args))) >= 500
    assert len(told.events) > 5
    assert {event.name for event in told.events} == {page}
    assert {event.commands for event in told.events} == {(command,)}


def test_nobody_listening_costs_no_event(plain, colour, monkeypatch):
    made = []
    monkeypatch.setattr(events, "emit", made.append)
    assert not events.listening
    both = Both(plain, colour)
    both.set("a", 1)
    assert both.get("a") == 1
    assert [event for event in made if isinstance(event, Operation)] == []


def test_who_listens_to_other_kinds_causes_no_operation_events(plain):
    with Recorder(events.Degraded, events.Retried):
        assert not events.listening
    with Recorder(Operation):
        assert events.listening
    with Recorder():
        assert events.listening
    assert not events.listening


def test_an_error_reply_is_told_as_the_caller_gets_it(plain, colour):
    both = Both(plain, colour)
    both.set("a", "no number")
    with Recorder(Operation) as told, pytest.raises(NotAnInteger) as caught:
        both.incr("a")
    (event,) = told.events
    assert event.error is caught.value


def test_the_users_exception_is_told_as_the_caller_gets_it(plain, colour):
    def fail():
        raise LookupError("theirs")

    both = Both(plain, colour)
    with Recorder(Operation) as told, pytest.raises(LookupError) as caught:
        both.get_or_set("a", fail)
    (event,) = told.events
    assert event.error is caught.value
    assert event.commands == ("GET",)


def test_the_events_of_what_the_users_code_does_come_before_its_own(plain, colour):
    both = Both(plain, colour)

    async def afetch():
        return await plain.aget("inner", 1)

    def fetch():
        return plain.get("inner", 1)

    with Recorder(Operation) as told:
        both.get_or_set("a", afetch if colour.is_async else fetch)
    assert [event.name for event in told.events] == ["get", "get_or_set"]


@pytest.mark.parametrize("name", ["get", "set", "get_many", "set_many", "get_or_set"])
def test_an_operation_that_degraded_carries_no_error_for_its_caller_got_none(
    cache_on, colour, name
):
    both = Both(
        cache_on(None, LOCATION="redis://127.0.0.1:1/0", ON_ERROR="degrade"), colour
    )
    args = OPERATIONS[name][1]
    with Recorder(Operation, events.Degraded) as told:
        getattr(both, name)(*args)
    assert [type(event) for event in told.events[-1:]] == [Operation]
    assert told.events[-1].error is None
    assert {event.name for event in told.of(events.Degraded)} <= {name, "get"}
    assert told.of(events.Degraded)


def test_an_operation_without_its_server_carries_the_error(cache_on, colour):
    both = Both(cache_on(None, LOCATION="redis://127.0.0.1:1/0"), colour)
    with Recorder(Operation) as told, pytest.raises(Unavailable) as caught:
        both.get("a")
    (event,) = told.events
    assert event.error is caught.value


def test_an_interrupted_operation_is_told_when_it_is_interrupted(plain, colour):
    both = Both(plain, colour)

    def interrupt():
        raise KeyboardInterrupt

    with Recorder(Operation) as told:
        try:
            both.get_or_set("a", interrupt)
        except KeyboardInterrupt as error:
            # Here, and not when somebody forgets the traceback.
            assert [type(event.error) for event in told.events] == [type(error)]
        else:
            pytest.fail("the interrupt did not reach the caller")


def test_a_cancelled_operation_is_told_in_its_own_task(plain):
    seen = []

    async def forever():
        await asyncio.Event().wait()

    async def cancelled():
        task = asyncio.create_task(plain.aget_or_set("a", forever))
        unsubscribe = events.subscribe(
            lambda event: seen.append((event, asyncio.current_task())), Operation
        )
        try:
            while not task.done():
                await asyncio.sleep(0)
                if task.get_stack() and not task.cancelling():
                    await plain.aget("b")
                    task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            unsubscribe()
        return task

    task = asyncio.run(cancelled())
    ((event, within),) = [each for each in seen if each[0].name == "get_or_set"]
    assert within is task
    assert isinstance(event.error, asyncio.CancelledError)
