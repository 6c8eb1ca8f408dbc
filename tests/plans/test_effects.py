"""What drivers promise to a plan: the same, whichever driver and colour."""

import asyncio
import time

import pytest

from redpony.commands import BLPOP, EXISTS, GET, INCRBY, SET, Lane
from redpony.errors import NotAnInteger, ServerError, Unavailable
from redpony.plan import (
    Batch,
    Invoke,
    Now,
    Raised,
    Replies,
    Returned,
    Sleep,
    Wait,
)


class OfTheUser(Exception):
    """An exception that only the user's code raises."""


def plan_of(*effects):
    """Return a plan that yields these and returns the list of their answers."""
    answers = []
    for effect in effects:
        answers.append((yield effect))
    return answers


# -- Command ----------------------------------------------------------------


def test_a_command_answers_its_reply(world):
    assert world.run(plan_of(SET("a", "1"), GET("a")))[1] == b"1"


def test_an_error_reply_is_thrown_into_the_plan_which_may_go_on(world):
    def plan():
        yield SET("a", "no number")
        try:
            yield INCRBY("a", "1")
        except NotAnInteger:
            return (yield GET("a"))

    assert world.run(plan()) == b"no number"


def test_an_error_reply_that_the_plan_does_not_catch_reaches_the_caller(world):
    with pytest.raises(ServerError, match="not an integer"):
        world.run(plan_of(SET("a", "no number"), INCRBY("a", "1")))


def test_a_plan_that_needs_nothing_is_run_all_the_same(world):
    def plan():
        return 7
        yield

    assert world.run(plan()) == 7


# -- Batch ------------------------------------------------------------------


def test_a_batch_answers_one_result_for_each_command_in_order(world):
    (replies,) = world.run(plan_of(Batch([SET("a", "1"), GET("a"), EXISTS("b")])))
    assert isinstance(replies, Replies)
    assert replies[1:] == [b"1", 0]
    assert len(replies) == 3


def test_a_batch_does_not_throw_the_error_that_one_command_met(world):
    (replies,) = world.run(plan_of(Batch([SET("a", "x"), INCRBY("a", "1"), GET("a")])))
    assert isinstance(replies[1], NotAnInteger)
    assert replies[2] == b"x"


def test_a_batch_knows_the_outcome_of_each_command(world):
    (replies,) = world.run(plan_of(Batch([SET("a", "x"), INCRBY("a", "1"), GET("a")])))
    assert [replies.outcome(index) for index in range(3)] == [None, "refused", None]


def test_checking_a_batch_raises_the_first_error_in_it(world):
    (replies,) = world.run(plan_of(Batch([SET("a", "x"), INCRBY("a", "1")])))
    with pytest.raises(NotAnInteger):
        replies.check()


def test_an_empty_batch_answers_nothing_and_asks_nobody(world):
    (replies,) = world.run(plan_of(Batch([])))
    assert replies.check() == []


def test_an_atomic_batch_answers_as_any_other(world):
    batch = Batch([SET("a", "1"), INCRBY("a", "4")], atomic=True)
    (replies,) = world.run(plan_of(batch))
    assert replies[1] == 5
    assert batch.same_connection


# -- Invoke -----------------------------------------------------------------


def test_invoke_answers_what_the_users_code_returned(world):
    (answer,) = world.run(plan_of(Invoke(lambda: 42)))
    assert isinstance(answer, Returned)
    assert answer.value == 42


@pytest.mark.parametrize(
    "error",
    [OfTheUser("oh"), StopIteration("oh"), Unavailable("theirs"), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
def test_invoke_never_throws_the_users_exception_into_the_plan(world, error):
    thrown = []

    def fail():
        raise error

    def plan():
        try:
            outcome = yield Invoke(fail)
        except BaseException as caught:
            thrown.append(caught)
            raise
        assert isinstance(outcome, Raised)
        return "went on", outcome.error

    assert world.run(plan()) == ("went on", error)
    assert thrown == []


@pytest.mark.parametrize(
    "error", [OfTheUser("oh"), Unavailable("theirs")], ids=["any", "Unavailable"]
)
def test_a_plan_passes_the_users_exception_on_by_returning_its_outcome(world, error):
    def fail():
        raise error

    def plan():
        return (yield Invoke(fail))

    with pytest.raises(type(error)) as caught:
        world.run(plan())
    assert caught.value is error


def test_the_users_stop_iteration_reaches_a_blocking_caller_as_it_is(world):
    def fail():
        raise StopIteration("theirs")

    def plan():
        return (yield Invoke(fail))

    # Python itself turns one that leaves a coroutine into a RuntimeError.
    expected = RuntimeError if world.is_async else StopIteration
    with pytest.raises(expected):
        world.run(plan())


def test_an_awaitable_is_awaited_in_asyncio_and_refused_when_blocking(world):
    async def fetch():
        await asyncio.sleep(0)
        return 42

    (answer,) = world.run(plan_of(Invoke(fetch)))
    if world.is_async:
        assert answer.value == 42
    else:
        assert isinstance(answer.error, TypeError)
        assert "coroutine function" in str(answer.error)


def test_a_lambda_that_returns_a_coroutine_is_refused_when_blocking(world):
    async def fetch():
        return 42

    (answer,) = world.run(plan_of(Invoke(lambda: fetch())))
    if world.is_async:
        assert answer.value == 42
    else:
        assert isinstance(answer, Raised)
        assert isinstance(answer.error, TypeError)


def test_a_plain_function_is_called_inline_in_asyncio(world):
    seen = []

    def look():
        seen.append(asyncio.get_running_loop() if world.is_async else None)

    world.run(plan_of(Invoke(look)))
    assert len(seen) == 1


def test_an_exception_in_an_awaited_callable_is_an_outcome_too(world):
    async def fail():
        raise OfTheUser("oh")

    if not world.is_async:
        return
    (answer,) = world.run(plan_of(Invoke(fail)))
    assert isinstance(answer.error, OfTheUser)


# -- Sleep, Now, Wait -------------------------------------------------------


def test_sleep_lets_the_drivers_time_pass_and_now_tells_it(world):
    before, _, after = world.run(plan_of(Now(), Sleep(0.01), Now()))
    assert after - before >= 0.01 - 1e-6


def test_now_is_the_time_since_the_epoch(world):
    (now,) = world.run(plan_of(Now()))
    assert isinstance(now, float)
    if world.real:
        assert abs(now - time.time()) < 60


def test_a_wait_that_runs_out_answers_none(world):
    wait = Wait(BLPOP("nobody pushes here", "0.01"), timeout=0.01)
    assert world.run(plan_of(wait, EXISTS("a"))) == [None, 0]


def test_a_wait_has_its_own_timeout_in_place_of_the_deadline(request, world):
    if not world.real:
        return
    lasts = world.driver.config.deadline * 1.5
    wait = Wait(BLPOP("nobody pushes here", f"{lasts}"), timeout=lasts)
    assert world.run(plan_of(wait)) == [None]


def test_a_wait_is_answered_when_something_is_pushed(world, request):
    if not world.real:
        world.driver.answer(BLPOP("jobs", "5"), [b"jobs", b"one"])
    else:
        request.getfixturevalue("valkey").ask("RPUSH", "jobs", "one")
    assert world.run(plan_of(Wait(BLPOP("jobs", "5"), timeout=5))) == [
        [b"jobs", b"one"]
    ]


# -- What is no effect ------------------------------------------------------


@pytest.mark.parametrize("wrong", ["GET a", b"GET", None, 7, GET, [GET("a")]])
def test_whatever_is_no_effect_is_a_type_error(world, wrong):
    with pytest.raises(TypeError, match="is no effect"):
        world.run(plan_of(wrong))


def test_a_blocking_command_has_to_be_waited_for(world):
    if not world.real:
        return
    with pytest.raises(TypeError, match="Wait"):
        world.run(plan_of(BLPOP("a", "1")))
    assert BLPOP.lane is Lane.BLOCKING


# -- Clean-up ---------------------------------------------------------------


def test_a_plan_is_closed_when_an_interrupt_ends_it(world):
    closed = []

    def interrupt():
        raise KeyboardInterrupt

    def plan():
        try:
            yield Invoke(interrupt)
        finally:
            closed.append(True)

    try:
        world.run(plan())
    except KeyboardInterrupt as error:
        # Here, and not when somebody forgets the traceback.
        assert closed == [True]
        assert error.__traceback__ is not None
    else:
        pytest.fail("the interrupt did not reach the caller")


def test_a_plan_that_asks_for_more_while_it_is_closed_does_not_hide_the_interrupt(
    world,
):
    def interrupt():
        raise KeyboardInterrupt

    def plan():
        try:
            yield Invoke(interrupt)
        finally:
            yield GET("a")

    with pytest.raises(KeyboardInterrupt):
        world.run(plan())


def test_finally_of_a_plan_may_ask_the_server_while_it_ends_by_itself(world):
    def plan():
        try:
            yield SET("lease", "mine")
            raise OfTheUser
        finally:
            yield SET("lease", "released")

    with pytest.raises(OfTheUser):
        world.run(plan())
    assert world.run(plan_of(GET("lease"))) == [b"released"]
