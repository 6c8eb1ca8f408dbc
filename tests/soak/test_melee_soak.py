"""More than a million operations with everything at once, each one checked."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.faults.melee import Melee

pytestmark = pytest.mark.soak

SEED = int(os.environ.get("REDPONY_SOAK_SEED", "20261122"))
OPERATIONS = int(os.environ.get("REDPONY_SOAK_OPERATIONS", "600000"))
"""On each of two servers."""

ROUNDS = 10
"""Books grow; each round begins with new ones."""

PROMISED = ("wrong", "duplicates", "slots", "lost", "stale", "masked")


def test_six_hundred_thousand_operations_cut_killed_cancelled_and_interrupted(
    server, cache_on, say, record
):
    figures: Counter[str] = Counter()
    for number in range(ROUNDS):
        melee = Melee(server, cache_on, threads=6, tasks=30, seed=SEED + number)
        figures += melee.run(OPERATIONS // ROUNDS)
        assert melee.complaints == []
    record(
        "everything at once",
        operations=figures["operations"],
        stopped=figures["cancelled"] + figures["interrupted"],
        wrong=figures["wrong"],
        duplicates=figures["duplicates"],
    )
    say(f"{server.flavour}: {dict(figures)}")
    assert figures["operations"] >= OPERATIONS
    assert {name: figures[name] for name in PROMISED} == dict.fromkeys(PROMISED, 0)
