"""The scripted driver: what it answers, what it records, what it refuses."""

import asyncio

import pytest

from redpony.commands import GET, INCRBY, PING, SET, Lane, call
from redpony.errors import Unavailable, WrongType
from redpony.plan import Batch, Everywhere, Invoke, Now, Sleep, Wait
from redpony.scripts import script
from redpony.testing import FakeClock, ScriptedDriver, scripted_cache


def plan_of(*effects):
    answers = []
    for effect in effects:
        answers.append((yield effect))
    return answers


@pytest.fixture(params=["sync", "async"])
def run(request):
    """Return a function that runs a plan on a driver, in each colour."""

    def run(driver, *effects):
        plan = plan_of(*effects)
        if request.param == "async":
            return asyncio.run(driver.arun(plan))
        return driver.run(plan)

    return run


# -- Answers ----------------------------------------------------------------


def test_replies_are_given_in_order(run):
    driver = ScriptedDriver(b"1", None)
    assert run(driver, GET("a"), GET("b")) == [b"1", None]


def test_a_reply_can_be_added_later(run):
    driver = ScriptedDriver(b"1").reply(b"2", b"3")
    assert run(driver, GET("a"), GET("b"), GET("c")) == [b"1", b"2", b"3"]


def test_an_expected_command_gets_its_reply(run):
    driver = ScriptedDriver().expect(GET("a"), b"1").expect(SET("a", "2"), "OK")
    assert run(driver, GET("a"), SET("a", "2")) == [b"1", "OK"]


def test_an_answer_is_given_whenever_it_is_asked_for(run):
    driver = ScriptedDriver(b"next").answer(GET("a"), b"always")
    found = run(driver, GET("a"), GET("b"), GET("a"))
    assert found == [b"always", b"next", b"always"]


def test_text_and_bytes_name_the_same_key_only_as_they_are_sent():
    driver = ScriptedDriver().expect(GET("a"), b"1")
    with pytest.raises(AssertionError, match=r"GET b'a'"):
        driver.run(plan_of(GET(b"a")))


def test_a_server_answers_what_is_not_in_the_script(run):
    driver = ScriptedDriver(b"1", server=lambda command: command.args[0].encode())
    assert run(driver, GET("a"), GET("b")) == [b"1", b"b"]


def test_an_error_as_a_reply_is_thrown_into_the_plan(run):
    driver = ScriptedDriver(WrongType("WRONGTYPE no"))
    with pytest.raises(WrongType):
        run(driver, GET("a"))


def test_servers_that_are_asked_at_once_are_one_round_trip(run):
    lost = Unavailable("lost", outcome="unknown")
    driver = ScriptedDriver(b"1", lost)
    effect = Everywhere([("one", GET("a")), ("two", GET("b"))], 0.5)
    (replies,) = run(driver, effect)
    assert list(replies) == [b"1", lost]
    assert replies.outcome(1) == "unknown"
    assert driver.round_trips == 1
    assert driver.commands == [GET("a"), GET("b")]


def test_an_error_as_a_reply_in_a_batch_is_an_item(run):
    lost = Unavailable("lost", outcome="unknown")
    driver = ScriptedDriver("OK", lost)
    (replies,) = run(driver, Batch([SET("a", "1"), GET("a")]))
    assert list(replies) == ["OK", lost]
    assert replies.outcome(1) == "unknown"


def test_an_interrupt_as_a_reply_passes_the_plan_by(run):
    driver = ScriptedDriver(KeyboardInterrupt())

    def plan():
        with pytest.raises(GeneratorExit):
            yield GET("a")
        raise GeneratorExit

    with pytest.raises(KeyboardInterrupt):
        driver.run(plan())


# -- Time -------------------------------------------------------------------


def test_the_clock_stands_still_but_for_sleeps(run):
    driver = ScriptedDriver(clock=FakeClock(100.0))
    assert run(driver, Now(), Sleep(5), Now(), Now()) == [100.0, None, 105.0, 105.0]
    assert driver.slept == [5]


def test_a_wait_that_runs_out_takes_its_time(run):
    driver = ScriptedDriver(None, clock=FakeClock(100.0))
    assert run(driver, Wait(GET("a"), 3), Now()) == [None, 103.0]


def test_what_leaves_before_a_wait_is_answered_first(run):
    driver = ScriptedDriver(b"1", b"2")
    wait = Wait(GET("a"), 3, GET("b"))
    assert run(driver, wait) == [(b"1", b"2")]
    assert driver.round_trips == 1


def test_a_wait_that_is_answered_takes_none(run):
    driver = ScriptedDriver(b"1", clock=FakeClock(100.0))
    assert run(driver, Wait(GET("a"), 3), Now()) == [b"1", 100.0]


def test_the_users_code_may_move_the_clock(run):
    driver = ScriptedDriver(clock=FakeClock(100.0))
    compute = Invoke(lambda: driver.clock.advance(2))
    assert run(driver, compute, Now())[1] == 102.0


# -- Records ----------------------------------------------------------------


def test_everything_that_was_yielded_is_recorded(run):
    driver = ScriptedDriver("OK", b"1", "PONG")
    batch, nap, invoke = Batch([SET("a", "1"), GET("a")]), Sleep(1), Invoke(list)
    run(driver, batch, nap, invoke, PING())
    assert driver.yielded == [batch, nap, invoke, PING()]
    assert driver.commands == [SET("a", "1"), GET("a"), PING()]
    assert driver.round_trips == 2


def test_an_empty_batch_is_no_round_trip(run):
    driver = ScriptedDriver()
    run(driver, Batch([]))
    assert driver.round_trips == 0


# -- Refusals ---------------------------------------------------------------


def message_of(driver, *effects):
    with pytest.raises(AssertionError) as caught:
        driver.run(plan_of(*effects))
    return str(caught.value)


def test_another_command_than_expected_is_named_with_the_expected_one():
    driver = ScriptedDriver().expect(GET("a"), b"1").expect(SET("a", "2"), "OK")
    assert message_of(driver, GET("a"), GET("b")) == (
        "The script expects SET 'a' '2'\n"
        "but the plan asked GET 'b'\n"
        "asked before:\n"
        "    GET 'a'"
    )


def test_a_command_beyond_the_script_is_named():
    assert message_of(ScriptedDriver(), GET("b")) == (
        "The script expects nothing more\n"
        "but the plan asked GET 'b'\n"
        "asked before: nothing"
    )


def test_a_script_of_ours_is_named_in_place_of_its_digest():
    text = message_of(ScriptedDriver(), call(script("incr"), ("a",), ("1",)))
    assert "EVALSHA <incr> 1 'a' '1'" in text


def test_a_long_value_is_shortened():
    assert len(message_of(ScriptedDriver(), SET("a", "x" * 9999))) < 200


def test_a_reply_that_the_command_never_has_is_refused():
    text = message_of(ScriptedDriver(7), GET("a"))
    assert text.endswith(
        "answered with 7; a server would answer with bytes or NoneType"
    )


def test_a_plan_cannot_catch_the_scripts_refusal():
    def plan():
        try:
            yield GET("a")
        except BaseException as error:
            if isinstance(error, AssertionError):
                pytest.fail("the plan saw it")
            raise

    with pytest.raises(AssertionError, match="expects nothing more"):
        ScriptedDriver().run(plan())


def test_what_was_not_asked_for_is_named_at_the_end():
    with pytest.raises(AssertionError, match=r"2 more expected, first GET 'b'"):
        with ScriptedDriver(b"1").expect(GET("b"), b"2").expect(GET("c")) as driver:
            driver.run(plan_of(GET("a")))


def test_an_error_in_the_block_is_not_hidden_by_what_is_left():
    with pytest.raises(KeyError):
        with ScriptedDriver(b"1"):
            raise KeyError("theirs")


def test_checking_a_script_that_was_used_up_says_nothing():
    with ScriptedDriver(b"1") as driver:
        driver.run(plan_of(GET("a")))
    assert driver.left == 0


# -- Asyncio ----------------------------------------------------------------


def test_other_tasks_have_their_turn_while_a_plan_asks():
    driver = ScriptedDriver(b"1", b"2", b"3", b"4")

    async def race():
        return await asyncio.gather(
            driver.arun(plan_of(GET("a"), GET("b"))),
            driver.arun(plan_of(GET("c"), GET("d"))),
        )

    asyncio.run(race())
    assert driver.commands == [GET("a"), GET("c"), GET("b"), GET("d")]


# -- A cache on a script ----------------------------------------------------


def test_a_scripted_cache_asks_its_driver_in_both_colours():
    with ScriptedDriver(b"41", b"42") as driver:
        cache = scripted_cache(driver)
        assert cache.get("a") == 41
        assert asyncio.run(cache.aget("b")) == 42
    assert driver.commands == [GET(":1:a"), GET(":1:b")]


def test_a_scripted_cache_has_the_settings_that_it_is_given():
    driver = ScriptedDriver(Unavailable("gone"))
    cache = scripted_cache(
        driver, KEY_PREFIX="shop", VERSION=7, OPTIONS={"ON_ERROR": "degrade"}
    )
    assert cache.get("a", "fallback") == "fallback"
    assert driver.commands == [GET("shop:7:a")]


def test_scripted_caches_do_not_share_their_scripts():
    first, second = ScriptedDriver(b"1"), ScriptedDriver(b"2")
    caches = scripted_cache(first), scripted_cache(second)
    assert [cache.get("a") for cache in caches] == [1, 2]


def test_a_command_and_a_lane_are_no_part_of_equality():
    driver = ScriptedDriver().expect(INCRBY("a", "1"), 3)
    assert driver.run(plan_of(INCRBY.of(("a", "1"), lane=Lane.BULK))) == [3]
