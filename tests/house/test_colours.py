"""A `Both` calls what the colour of the test says."""

import asyncio
from contextlib import asynccontextmanager, contextmanager

import pytest


class Pony:
    """A thing with methods in both colours."""

    def __init__(self):
        self.called = []
        self.loops = set()

    def neigh(self, times):
        self.called.append("neigh")
        return "neigh " * times

    async def aneigh(self, times):
        self.called.append("aneigh")
        self.loops.add(asyncio.get_running_loop())
        return "neigh " * times

    def steps(self):
        yield from (1, 2, 3)

    async def asteps(self):
        self.loops.add(asyncio.get_running_loop())
        for step in (1, 2, 3):
            yield step

    @contextmanager
    def stable(self):
        self.called.append("in")
        yield self
        self.called.append("out")

    @asynccontextmanager
    async def astable(self):
        self.called.append("in")
        yield self
        self.called.append("out")

    def make_key(self, key):
        return f":1:{key}"

    def has_key(self, key):
        return key == "oats"

    async def ahas_key(self, key):
        return key == "oats"

    __contains__ = has_key


@pytest.fixture
def pony():
    return Pony()


def test_the_sync_colour_calls_the_method_and_async_its_twin(pony, both, colour):
    assert both(pony).neigh(2) == "neigh neigh "
    assert pony.called == (["neigh"] if colour == "sync" else ["aneigh"])


def test_one_loop_serves_the_whole_test(pony, both, colour):
    both(pony).neigh(1)
    both(pony).neigh(1)
    list(both(pony).steps())
    assert len(pony.loops) == (0 if colour == "sync" else 1)


def test_iterators_are_drained_in_either_colour(pony, both):
    assert list(both(pony).steps()) == [1, 2, 3]


def test_context_managers_work_with_a_plain_with(pony, both, colour):
    with both(pony).stable() as inside:
        inside.neigh(1)
    neigh = "neigh" if colour == "sync" else "aneigh"
    assert pony.called == ["in", neigh, "out"]


def test_what_has_no_twin_is_called_as_it_is(pony, both):
    assert both(pony).make_key("a") == ":1:a"


def test_in_asks_in_the_colour_of_the_test(pony, both):
    assert "oats" in both(pony)
    assert "meat" not in both(pony)


def test_errors_pass_through(pony, both):
    with pytest.raises(TypeError):
        both(pony).neigh(None)
