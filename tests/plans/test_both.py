"""`both` makes two plain functions from one plan; subclasses keep both honest."""

from __future__ import annotations

import asyncio
import inspect
import threading
import types
from collections.abc import Generator
from typing import Any

import pytest

from redpony.commands import GET
from redpony.plan import MISSED, Plan, TwoColoured, both
from redpony.testing import ScriptedDriver

missing = inspect.Parameter.empty


class Stable(TwoColoured):
    """An owner of plans, on a script."""

    def __init__(self, *replies: Any) -> None:
        self.driver = ScriptedDriver(*replies)
        self.near: dict[str, int] = {}
        self.threads: list[int] = []

    def _run(self, plan):
        return self.driver.run(plan)

    async def _arun(self, plan):
        return await self.driver.arun(plan)

    def _oats(self, key: str, default: int = 0, *, doubled: bool = False) -> Plan[int]:
        """Return how many oats there are."""
        found = yield GET(key)
        return default if found is None else int(found) * (2 if doubled else 1)

    oats, aoats = both(_oats)

    def _hay(self, key: str) -> Generator[Any, Any, int]:
        return int((yield GET(key)))

    hay, ahay = both(_hay)

    def _quickly(self, key: str) -> Any:
        return self.near.get(key, MISSED)

    def _near(self, key: str) -> Plan[int]:
        return int((yield GET(key)))

    near_oats, anear_oats = both(_near, fast=_quickly)


# -- The pair ---------------------------------------------------------------


def test_both_colours_run_the_one_plan():
    assert Stable(b"3").oats("a") == 3
    assert asyncio.run(Stable(b"3").aoats("a")) == 3


def test_both_colours_are_plain_functions():
    for each in (Stable.oats, Stable.aoats):
        assert type(each) is types.FunctionType
    assert Stable().oats.__func__ is Stable.oats


def test_only_the_asyncio_colour_is_a_coroutine_function():
    assert inspect.iscoroutinefunction(Stable.aoats)
    assert not inspect.iscoroutinefunction(Stable.oats)


def test_both_colours_are_named_as_their_owner_names_them():
    assert Stable.oats.__name__ == "oats"
    assert Stable.aoats.__name__ == "aoats"
    assert Stable.oats.__qualname__ == "Stable.oats"
    assert Stable.aoats.__qualname__ == "Stable.aoats"
    assert Stable.oats.__module__ == Stable.aoats.__module__ == __name__


def test_both_colours_carry_the_plans_docstring():
    assert Stable.oats.__doc__ == Stable.aoats.__doc__ == Stable._oats.__doc__


def test_the_signature_is_the_plans_with_the_result_in_place_of_the_generator():
    for each in (Stable.oats, Stable.aoats):
        signature = inspect.signature(each)
        assert list(signature.parameters) == ["self", "key", "default", "doubled"]
        assert signature.parameters["default"].default == 0
        assert signature.parameters["doubled"].kind is inspect.Parameter.KEYWORD_ONLY
        assert signature.return_annotation == "int"


def test_a_generators_annotation_comes_down_to_its_result_too():
    assert inspect.signature(Stable.hay).return_annotation == "int"


def test_annotations_that_are_no_text_come_down_to_the_result_too():
    def _oats(self: Stable, key: str):
        return int((yield GET(key)))

    _oats.__annotations__["return"] = Plan[int]
    oats, _ = both(_oats)
    assert inspect.signature(oats).return_annotation is int


def test_a_plan_outside_of_a_class_has_no_owner_in_its_name():
    namespace: dict[str, Any] = {"GET": GET}
    exec("def _oats(self):\n    return (yield GET('a'))", namespace)
    oats, aoats = both(namespace["_oats"])
    assert (oats.__qualname__, aoats.__qualname__) == ("oats", "aoats")


def test_a_plans_name_has_to_start_with_an_underscore():
    def oats(self):
        yield GET("a")

    with pytest.raises(TypeError, match="underscore"):
        both(oats)


# -- The fast path ----------------------------------------------------------


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_fast_path_answers_without_the_plan(colour):
    stable = Stable()
    stable.near["a"] = 5
    if colour == "sync":
        assert stable.near_oats("a") == 5
    else:
        assert asyncio.run(stable.anear_oats("a")) == 5
    assert stable.driver.yielded == []


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_fast_path_that_missed_runs_the_plan(colour):
    stable = Stable(b"7")
    if colour == "sync":
        assert stable.near_oats("a") == 7
    else:
        assert asyncio.run(stable.anear_oats("a")) == 7
    assert stable.driver.commands == [GET("a")]


def test_a_fast_path_may_answer_none():
    class Empty(Stable):
        def _quickly(self, key):
            return None

        def _near(self, key):
            return int((yield GET(key)))

        near_oats, anear_oats = both(_near, fast=_quickly)

    assert Empty().near_oats("a") is None


# -- Subclasses -------------------------------------------------------------


def colours(stable, *args):
    """Return what both colours answer."""
    return stable.oats(*args), asyncio.run(stable.aoats(*args))


def test_overriding_the_plan_changes_both_colours():
    class Full(Stable):
        def _oats(self, key, default=0, *, doubled=False):
            return 100 + (yield from super()._oats(key))

    assert colours(Full(b"1", b"2"), "a") == (101, 102)


def test_overriding_the_blocking_method_alone_changes_asyncio_too():
    class Full(Stable):
        def oats(self, key, default=0, *, doubled=False):
            return 100 + super().oats(key, default)

    assert colours(Full(b"1", b"2"), "a") == (101, 102)


def test_the_asyncio_twin_of_an_override_runs_it_in_a_thread():
    class Full(Stable):
        def oats(self, key):
            self.threads.append(threading.get_ident())
            return 1

    stable = Full()
    asyncio.run(stable.aoats("a"))
    assert stable.threads != [threading.get_ident()]
    assert inspect.iscoroutinefunction(Full.aoats)
    assert type(Full.aoats) is types.FunctionType
    assert Full.aoats.__name__ == "aoats"


def test_an_override_in_a_mixin_changes_asyncio_too():
    class Hungry:
        def oats(self, key):
            return 100 + super().oats(key)

    class Full(Hungry, Stable):
        pass

    assert colours(Full(b"1", b"2"), "a") == (101, 102)


def test_an_override_beside_an_overridden_plan_changes_asyncio_too():
    class Full(Stable):
        def _oats(self, key, default=0, *, doubled=False):
            return 10 + (yield from super()._oats(key))

        def oats(self, key):
            return 100 + super().oats(key)

    assert colours(Full(b"1", b"2"), "a") == (111, 112)


def test_a_subclass_that_overrides_both_colours_has_them():
    class Full(Stable):
        def oats(self, key):
            return "sync"

        async def aoats(self, key):
            return "async"

    assert colours(Full(), "a") == ("sync", "async")


def test_a_subclass_that_overrides_asyncio_alone_leaves_blocking_as_it_is():
    class Full(Stable):
        async def aoats(self, key):
            return "async"

    assert colours(Full(b"1"), "a") == (1, "async")


def test_a_subclass_may_make_a_new_pair_from_a_new_plan():
    class Full(Stable):
        def _oats(self, key):
            return 10 * int((yield GET(key)))

        oats, aoats = both(_oats)

    assert colours(Full(b"1", b"2"), "a") == (10, 20)


def test_a_grandchild_may_override_the_plan_below_an_overridden_method():
    class Child(Stable):
        def oats(self, key):
            return 100 + super().oats(key)

    class Grandchild(Child):
        def _oats(self, key, default=0, *, doubled=False):
            return 10 + (yield from super()._oats(key))

    assert colours(Grandchild(b"1", b"2"), "a") == (111, 112)


def test_a_grandchild_may_give_an_overridden_method_its_own_asyncio_twin():
    class Child(Stable):
        def oats(self, key):
            return "sync"

    class Grandchild(Child):
        async def aoats(self, key):
            return "async"

    assert colours(Grandchild(), "a") == ("sync", "async")


def test_a_method_without_a_plan_may_be_overridden_as_ever():
    class Full(Stable):
        def groom(self):
            return "groomed"

    assert not hasattr(Full, "agroom")
    assert Full().groom() == "groomed"


def test_a_cache_whose_get_is_overridden_has_an_aget_that_calls_it(make_cache, valkey):
    from redpony.cache import RedisCache

    class Traced(RedisCache):
        def get(self, key, default=None, version=None):
            return f"traced {super().get(key, default, version)}"

    cache = Traced(valkey.url(), {})

    async def ask():
        return await cache.aget("a", 1)

    assert cache.get("a", 1) == "traced 1"
    assert asyncio.run(ask()) == "traced 1"
