"""The graph of orders: what it finds, and what it forgets."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from redpony.locks.orders import Orders, Step, Thing


def thing(name: str, family: str = "") -> Thing:
    return Thing("lock", name, name, family or name, 1, 1)


def step(held: Thing, wanted: Thing) -> Step:
    return Step(held, wanted, (), (), "somebody", frozenset({held.node}))


def test_so_many_orders_are_remembered() -> None:
    orders = Orders(8)
    a, b = thing("a"), thing("b")
    assert orders.want(b, [step(a, b)]) == []
    for number in range(1000):
        one, other = thing(f"x:{number}", "x:#"), thing(f"y:{number}", "y:#")
        assert orders.want(other, [step(one, other)]) == []
    assert len(orders) <= 2 * 8
    # What lasts is not forgotten over what passes.
    assert len(orders.want(a, [step(b, a)])) == 1


def test_the_order_that_was_not_seen_the_longest_is_forgotten() -> None:
    orders = Orders(3)
    a, b, c, d, e, f = map(thing, "abcdef")
    for held, wanted in ((a, b), (c, d), (a, b), (e, f)):
        orders.want(wanted, [step(held, wanted)])
    assert len(orders.want(a, [step(b, a)])) == 1  # it takes the place of c, d
    assert orders.want(c, [step(d, c)]) == []


# -- Beside a plain search ---------------------------------------------------

PLACES = 5
names = st.sampled_from("abcd")
weights = st.sampled_from([1, PLACES])
moves = st.tuples(names, weights, names, weights)


def shared(name: str, weight: int) -> Thing:
    return Thing("rw", name, name, name, weight, PLACES)


def can_deadlock(made: Iterable[tuple[str, int, str, int]]) -> bool:
    """Whether there is a circle of steps, each of which keeps somebody waiting."""
    written = {wanted for _, _, wanted, weight in made if weight == PLACES}
    after: dict[str, set[str]] = {}
    for held, weight, wanted, _ in made:
        if weight == PLACES or held in written:
            after.setdefault(held, set()).add(wanted)
    reached = {each: set(ends) for each, ends in after.items()}
    for _ in after:
        for ends in reached.values():
            ends |= {far for end in ends for far in after.get(end, ())}
    return any(each in ends for each, ends in reached.items())


@given(st.lists(moves, max_size=12))
def test_it_finds_what_a_search_over_everything_finds(
    made: list[tuple[str, int, str, int]],
) -> None:
    orders = Orders(100)
    found: list[object] = []
    for count, (name, weight, other, wants) in enumerate(made, 1):
        held, wanted = shared(name, weight), shared(other, wants)
        one = Step(held, wanted, (), (), "somebody", frozenset())
        for circle in orders.want(wanted, [one]):
            ends = [each.wanted.node for each in circle]
            starts = [each.held.node for each in circle]
            assert starts[1:] + starts[:1] == ends
            found.append(circle)
        assert bool(found) is can_deadlock(made[:count])
