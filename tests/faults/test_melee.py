"""Everything at once: connections cut and killed, callers cancelled and interrupted."""

from __future__ import annotations

from tests.faults.melee import Melee


def test_answers_are_right_and_effects_single(server, cache_on, record):
    melee = Melee(server, cache_on, seed=11)
    figures = melee.run(6_000)
    record(**figures, **{name: figures[name] for name in PROMISED - figures.keys()})
    assert {name: figures[name] for name in PROMISED} == dict.fromkeys(PROMISED, 0), (
        melee.complaints
    )
    assert melee.complaints == []
    # Each kind of harm was done, and much was answered all the same.
    for name in ("answered", "unknown", "cancelled", "interrupted"):
        assert figures[name] > 20, name


PROMISED = {"wrong", "duplicates", "slots", "lost", "stale", "masked"}
