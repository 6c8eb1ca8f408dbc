"""The cache's plans on scripts: which commands they ask, and what they make of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpony.commands import (
    EXISTS,
    FLUSHDB,
    GET,
    INCRBY,
    MGET,
    MSET,
    PERSIST,
    PEXPIRE,
    PTTL,
    SCAN,
    SET,
    UNLINK,
    call,
)
from redpony.errors import (
    DeadlineExceeded,
    NotAnInteger,
    RedponyError,
    ServerError,
    Unavailable,
    WrongType,
)
from redpony.plan import Batch
from redpony.scripts import script
from redpony.testing import ScriptedDriver, scripted_cache
from tests.colours import Both
from tests.plans.toy import Toy

GONE = Unavailable("127.0.0.1:1/0 is away")


@pytest.fixture
def driver():
    with ScriptedDriver() as driver:
        yield driver


@pytest.fixture
def make(driver, both):
    """Return a function that makes a cache on the test's script, in its colour."""

    def make(**params):
        return both(scripted_cache(driver, **params))

    return make


@pytest.fixture
def cache(make):
    return make()


def page(cursor, *keys):
    return [cursor, list(keys)]


def scan(cursor, pattern, count=b"1000"):
    return SCAN(cursor, b"MATCH", pattern, b"COUNT", count)


def sealed(cache, key, value):
    return cache.client.encode(value, key=key)


# -- get, set ---------------------------------------------------------------


def test_get_asks_once_and_decodes(cache, driver):
    driver.expect(GET(":1:a"), sealed(cache, "a", {"x": 1}))
    assert cache.get("a") == {"x": 1}


def test_get_answers_the_default_for_a_missing_key(cache, driver):
    driver.expect(GET(":1:a"), None)
    assert cache.get("a", "default") == "default"


def test_get_takes_a_value_that_was_sealed_for_another_key_as_a_miss(cache, driver):
    driver.expect(GET(":1:a"), sealed(cache, "b", "b's"))
    assert cache.get("a", "default") == "default"


def test_get_raises_when_the_server_is_away(cache, driver):
    driver.expect(GET(":1:a"), GONE)
    with pytest.raises(Unavailable):
        cache.get("a")


def test_an_error_reply_is_raised_under_degrade_too(make, driver):
    cache = make(OPTIONS={"ON_ERROR": "degrade"})
    driver.expect(GET(":1:a"), WrongType("WRONGTYPE no"))
    with pytest.raises(WrongType):
        cache.get("a")


def test_set_sends_the_time_out_in_milliseconds(cache, driver):
    driver.expect(SET(":1:a", b"1", b"PX", b"1500"), "OK")
    assert cache.set("a", 1, timeout=1.5) is True


def test_set_without_expiry_sends_none(cache, driver):
    driver.expect(SET(":1:a", b"1"), "OK")
    assert cache.set("a", 1, timeout=None) is True


def test_set_with_a_time_out_that_is_over_removes_the_key(cache, driver):
    driver.expect(UNLINK(":1:a"), 1)
    cache.set("a", 1, timeout=0)


def test_add_reports_a_key_that_is_there_already(cache, driver):
    driver.expect(SET(":1:a", b"1", b"PX", b"300000", b"NX"), None)
    assert cache.add("a", 1) is False


def test_set_is_not_sent_again_after_an_unknown_outcome(cache, driver):
    unknown = DeadlineExceeded("silence", outcome="unknown")
    driver.expect(SET(":1:a", b"1", b"PX", b"300000"), unknown)
    with pytest.raises(DeadlineExceeded) as caught:
        cache.set("a", 1)
    assert caught.value.outcome == "unknown"


def test_a_value_that_cannot_be_serialized_asks_nobody(cache, driver):
    with pytest.raises(RedponyError):
        cache.set("a", lambda: None)
    assert driver.yielded == []


# -- many -------------------------------------------------------------------


def test_get_many_is_one_command(cache, driver):
    driver.expect(MGET(":1:a", ":1:b"), [b"1", None])
    assert cache.get_many(["a", "b", "a"]) == {"a": 1}


def test_get_many_of_nothing_asks_nobody(cache, driver):
    assert cache.get_many([]) == {}
    assert driver.yielded == []


def test_set_many_without_expiry_is_one_command(cache, driver):
    driver.expect(MSET(":1:a", b"1", ":1:b", b"2"), "OK")
    assert cache.set_many({"a": 1, "b": 2}, timeout=None) == []


def test_set_many_is_one_flight_and_names_what_failed(make, driver):
    cache = make(TIMEOUT=9, OPTIONS={"ON_ERROR": "degrade"})
    driver.expect(SET(":1:a", b"1", b"PX", b"9000"), "OK")
    driver.expect(SET(":1:b", b"2", b"PX", b"9000"), GONE)
    assert cache.set_many({"a": 1, "b": 2}) == ["b"]
    assert driver.round_trips == 1


def test_set_many_names_all_keys_of_a_command_that_failed(make, driver):
    cache = make(TIMEOUT=None, OPTIONS={"ON_ERROR": "degrade"})
    driver.expect(MSET(":1:a", b"1", ":1:b", b"2"), GONE)
    assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]


def test_delete_many_is_one_command(cache, driver):
    driver.expect(UNLINK(":1:a", ":1:b"), 1)
    cache.delete_many(["a", "b"])
    assert driver.round_trips == 1


# -- touch ------------------------------------------------------------------


def test_touch_gives_a_new_time_out(cache, driver):
    driver.expect(PEXPIRE(":1:a", b"2000"), 1)
    assert cache.touch("a", 2) is True


def test_touch_without_time_out_tells_a_missing_key_from_a_lasting_one(cache, driver):
    driver.expect(EXISTS(":1:a"), 1).expect(PERSIST(":1:a"), 0)
    assert cache.touch("a", None) is True
    driver.expect(EXISTS(":1:a"), 0).expect(PERSIST(":1:a"), 0)
    assert cache.touch("a", None) is False
    assert driver.round_trips == 2


# -- get_or_set -------------------------------------------------------------


def test_get_or_set_does_not_call_on_a_hit(cache, driver):
    driver.expect(GET(":1:a"), b"1")
    assert cache.get_or_set("a", pytest.fail) == 1


def test_get_or_set_stores_and_reads_back_in_one_flight(cache, driver):
    driver.expect(GET(":1:a"), None)
    driver.expect(SET(":1:a", b"5", b"PX", b"9000", b"NX"), "OK")
    driver.expect(GET(":1:a"), b"5")
    assert cache.get_or_set("a", lambda: 5, timeout=9) == 5
    assert driver.round_trips == 2


def test_get_or_set_returns_what_somebody_else_stored_meanwhile(cache, driver):
    driver.reply(None, None, b"7")
    assert cache.get_or_set("a", lambda: 5) == 7


def test_get_or_set_returns_its_own_when_the_others_has_gone_again(cache, driver):
    driver.reply(None, None, None)
    assert cache.get_or_set("a", lambda: 5) == 5


def test_get_or_set_awaits_a_coroutine_function_in_asyncio(driver):
    async def fetch():
        await asyncio.sleep(0)
        return 5

    driver.reply(None, "OK", b"5")
    assert asyncio.run(scripted_cache(driver).aget_or_set("a", fetch)) == 5


def test_get_or_set_with_a_time_out_that_is_over_stores_nothing(cache, driver):
    driver.expect(GET(":1:a"), None)
    assert cache.get_or_set("a", lambda: 5, timeout=0) == 5


def test_get_or_set_computes_when_the_server_is_away_and_may_degrade(make, driver):
    cache = make(OPTIONS={"ON_ERROR": "degrade"})
    driver.reply(GONE, GONE, GONE)
    assert cache.get_or_set("a", lambda: 5) == 5


@pytest.mark.parametrize("error", [KeyError("k"), Unavailable("theirs")], ids=repr)
def test_get_or_set_raises_what_the_callable_raised_and_stores_nothing(
    make, driver, error
):
    def fail():
        raise error

    cache = make(OPTIONS={"ON_ERROR": "degrade"})
    driver.expect(GET(":1:a"), None)
    with pytest.raises(type(error)) as caught:
        cache.get_or_set("a", fail)
    assert caught.value is error


# -- counters ---------------------------------------------------------------


def incr(key, amount):
    return call(script("incr"), (key,), (amount,))


def test_incr_is_one_flight(cache, driver):
    driver.expect(incr(":1:a", b"3"), 10)
    assert cache.incr("a", 3) == 10


def test_incr_of_a_missing_key_is_a_value_error(cache, driver):
    driver.expect(incr(":1:a", b"1"), None)
    with pytest.raises(ValueError, match="'a' not found"):
        cache.incr("a")


def test_incr_of_what_is_no_integer_raises_under_degrade_too(make, driver):
    cache = make(OPTIONS={"ON_ERROR": "degrade"})
    driver.expect(incr(":1:a", b"1"), NotAnInteger("ERR value is not an integer"))
    with pytest.raises(NotAnInteger):
        cache.incr("a")


def test_incr_always_raises_when_the_server_is_away(make, driver):
    cache = make(OPTIONS={"ON_ERROR": "degrade"})
    driver.expect(incr(":1:a", b"1"), GONE)
    with pytest.raises(Unavailable):
        cache.incr("a")


def test_incr_without_the_check_makes_the_key(cache, driver):
    driver.expect(INCRBY(":1:a", b"1"), 1)
    assert cache.incr("a", ignore_key_check=True) == 1


def test_decr_adds_the_opposite(cache, driver):
    driver.expect(incr(":1:a", b"-3"), 1)
    assert cache.decr("a", 3) == 1


def test_incr_version_renames(cache, driver):
    driver.expect(call(script("rename"), (":1:a", ":2:a")), 1)
    assert cache.incr_version("a") == 2


# -- patterns ---------------------------------------------------------------


def test_delete_pattern_removes_a_page_while_it_asks_for_the_next(cache, driver):
    driver.expect(scan(b"0", ":1:k*"), page(b"7", b":1:k1", b":1:k2"))
    driver.expect(UNLINK(b":1:k1", b":1:k2"), 2)
    driver.expect(scan(b"7", ":1:k*"), page(b"0", b":1:k3"))
    driver.expect(UNLINK(b":1:k3"), 1)
    assert cache.delete_pattern("k*") == 3
    assert driver.round_trips == 3
    assert [len(each.commands) for each in driver.yielded if type(each) is Batch] == [
        2,
        1,
    ]


def test_delete_pattern_asks_for_the_next_page_after_an_empty_one(cache, driver):
    driver.expect(scan(b"0", ":1:k*"), page(b"7"))
    driver.expect(scan(b"7", ":1:k*"), page(b"0", b":1:k3"))
    driver.expect(UNLINK(b":1:k3"), 1)
    assert cache.delete_pattern("k*") == 1


def test_delete_pattern_without_a_match_removes_nothing(cache, driver):
    driver.expect(scan(b"0", ":1:k*"), page(b"0"))
    assert cache.delete_pattern("k*") == 0


def test_delete_pattern_raises_the_error_of_a_removal(cache, driver):
    driver.reply(page(b"0", b":1:k1"), ServerError("NOPERM no"))
    with pytest.raises(ServerError, match="NOPERM"):
        cache.delete_pattern("k*")


def test_delete_pattern_takes_prefix_and_version_literally(make, driver):
    cache = make(KEY_PREFIX="shop*[1]")
    driver.expect(scan(b"0", r"shop\*\[1\]:1:k*"), page(b"0"))
    cache.delete_pattern("k*")


def test_delete_pattern_asks_for_pages_of_the_given_size(cache, driver):
    driver.expect(scan(b"0", ":1:k*", b"5"), page(b"0"))
    cache.delete_pattern("k*", itersize=5)


def test_clear_leaves_alone_what_is_no_entry_of_this_prefix(cache, driver):
    found = (b":1:a", b":2:b", b":x:c", b"other:1:d")
    driver.expect(scan(b"0", ":*:*"), page(b"0", *found))
    driver.expect(UNLINK(b":1:a", b":2:b"), 2)
    assert cache.clear() is True


def test_clear_by_choice_empties_the_database(make, driver):
    driver.expect(FLUSHDB(), "OK")
    assert make(OPTIONS={"CLEAR": "flushdb"}).clear() is True


def test_keys_of_all_pages_are_returned_once(cache, driver):
    driver.expect(scan(b"0", ":1:k*"), page(b"7", b":1:k1", b":1:k2"))
    driver.expect(scan(b"7", ":1:k*"), page(b"0", b":1:k2", b":1:k3"))
    assert cache.keys("k*") == ["k1", "k2", "k3"]


def test_iter_keys_does_not_ask_before_it_is_asked(cache, driver):
    keys = cache.iter_keys("k*")
    assert driver.yielded == []
    driver.expect(scan(b"0", ":1:k*"), page(b"7", b":1:k1"))
    keys = iter(keys)
    assert next(keys) == "k1"
    driver.expect(scan(b"7", ":1:k*"), page(b"0", b":1:k2"))
    assert list(keys) == ["k2"]


# -- time to live -----------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "ttl", "pttl"),
    [
        (-2, 0, 0),
        (-1, None, None),
        (0, 0, 0),
        (1, 1, 1),
        (1000, 1, 1000),
        (1001, 2, 1001),
    ],
)
def test_ttl_is_rounded_up_and_tells_missing_from_lasting(
    cache, driver, reply, ttl, pttl
):
    driver.expect(PTTL(":1:a"), reply).expect(PTTL(":1:a"), reply)
    assert cache.ttl("a") == ttl
    assert cache.pttl("a") == pttl


# -- a model ----------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "c*", "k[1]", "ü", "d:1"])
VALUES = st.one_of(
    st.none(), st.integers(), st.text(max_size=5), st.lists(st.booleans(), max_size=3)
)
TIMEOUTS = st.sampled_from([None, 5, 0.5, 100])
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, VALUES, TIMEOUTS),
    st.tuples(st.just("add"), KEYS, VALUES, TIMEOUTS),
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("get_or_set"), KEYS, VALUES, TIMEOUTS),
    st.tuples(st.just("get_many"), st.lists(KEYS, max_size=4)),
    st.tuples(st.just("set_many"), st.dictionaries(KEYS, VALUES, max_size=4), TIMEOUTS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("touch"), KEYS, TIMEOUTS),
    st.tuples(st.just("has_key"), KEYS),
    st.tuples(st.just("incr_version"), KEYS),
    st.tuples(st.just("keys")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("later"), st.sampled_from([0.4, 4, 60])),
)


class Model:
    """What a cache is to its users: a dict whose entries end."""

    def __init__(self, clock):
        self.clock = clock
        self.entries = {}

    def sweep(self):
        now = self.clock()
        self.entries = {
            key: entry
            for key, entry in self.entries.items()
            if entry[1] is None or entry[1] > now
        }

    def until(self, timeout):
        return None if timeout is None else self.clock() + timeout

    def set(self, key, value, timeout):
        self.entries[key] = (value, self.until(timeout))
        return True

    def add(self, key, value, timeout):
        return key not in self.entries and self.set(key, value, timeout)

    def get(self, key):
        return self.entries.get(key, (None,))[0]

    def get_or_set(self, key, value, timeout):
        if key not in self.entries:
            self.set(key, value, timeout)
        return self.get(key)

    def get_many(self, keys):
        return {key: self.get(key) for key in keys if key in self.entries}

    def set_many(self, data, timeout):
        for key, value in data.items():
            self.set(key, value, timeout)
        return []

    def delete(self, key):
        return self.entries.pop(key, None) is not None

    def touch(self, key, timeout):
        if key in self.entries:
            self.entries[key] = (self.entries[key][0], self.until(timeout))
        return key in self.entries

    def has_key(self, key):
        return key in self.entries

    def incr_version(self, key):
        if key not in self.entries:
            raise ValueError
        del self.entries[key]
        return 2

    def keys(self):
        return sorted(self.entries)

    def clear(self):
        self.entries.clear()
        return True


@given(steps=st.lists(STEPS, max_size=25), page=st.sampled_from([1, 3, 100]))
@settings(max_examples=60, deadline=None)
def check_against_model(colour, steps, page):
    toy = Toy(page=page)
    driver = ScriptedDriver(server=toy)
    toy.clock = driver.clock
    cache = Both(scripted_cache(driver), colour)
    model = Model(driver.clock)
    for name, *args in steps:
        if name == "later":
            driver.clock.advance(*args)
            continue
        model.sweep()
        try:
            expected = getattr(model, name)(*args)
        except ValueError:
            with pytest.raises(ValueError, match="not found"):
                getattr(cache, name)(*args)
            continue
        found = getattr(cache, name)(*args)
        assert (sorted(found) if name == "keys" else found) == expected, name


def test_any_sequence_of_operations_is_that_of_a_dict_whose_entries_end(colour):
    check_against_model(colour)
