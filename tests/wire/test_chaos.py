"""A short riot; the long ones are in the soak."""

from __future__ import annotations

from collections import Counter

from tests.servers import Server
from tests.wire.chaos import riot


def test_effects_are_what_was_acknowledged_and_what_was_in_doubt(
    server: Server,
) -> None:
    outcomes: Counter[str] = Counter()
    riots = 0
    # A riot that left nothing in doubt has shown little: another one then.
    while not outcomes["unknown"] and riots < 20:
        outcomes += riot(server, workers=6, turns=150, seed=7 + riots)
        riots += 1
    assert outcomes["answered"] > 0
    assert outcomes["unknown"] > 0
    assert sum(outcomes.values()) == riots * 12 * 150
