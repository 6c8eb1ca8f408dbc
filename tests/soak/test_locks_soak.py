"""Locks, semaphores and readers and writers, contended for through all that can happen.

Ten minutes and more over all parts; each is held to the fourteen promises of
`tests.locks.invariants`, and prints what it has counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.locks.mutants import MUTANTS, Mutant, is_seen
from tests.locks.parts import PARTS, held_to

pytestmark = pytest.mark.soak

SEED = int(os.environ.get("REDPONY_SOAK_SEED", "20261122"))
SECONDS = float(os.environ.get("REDPONY_SOAK_LOCKS_SECONDS", "100"))
"""Of each part."""

STOPPED = ("kill", "stop", "cancellations")


@pytest.mark.parametrize("part", PARTS)
def test_the_promises_hold_for_long(
    part: str,
    tmp_path: Path,
    say: Callable[[str], None],
    record: Callable[..., None],
) -> None:
    figures, broken = held_to(part, tmp_path, SECONDS, SEED)
    say(f"locks, {part}: {figures}")
    record(
        f"locks, {part.split()[1]}",
        operations=figures["holdings"],
        stopped=sum(figures.get(name, 0) for name in STOPPED),
        wrong=sum(len(complaints) for complaints in broken.values()),
        duplicates=len(broken.get("fence", [])),
    )
    assert broken == {}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_lock_that_is_broken_on_purpose_is_seen_to_be(
    mutant: Mutant, say: Callable[[str], None]
) -> None:
    seen, said = is_seen(mutant)
    say(f"{mutant.what}: {said}")
    assert seen


def test_a_lock_that_is_not_broken_passes() -> None:
    """What sees the mutants does not see what is not there."""
    for seen_by in dict.fromkeys(each.seen_by for each in MUTANTS):
        mutant = next(each for each in MUTANTS if each.seen_by == seen_by)
        assert is_seen(mutant, breaks=False) == (False, "")
