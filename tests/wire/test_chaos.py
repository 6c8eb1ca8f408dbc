"""A short riot; the long ones are in the soak."""

from __future__ import annotations

from tests.servers import Server
from tests.wire.chaos import riot


def test_effects_are_what_was_acknowledged_and_what_was_in_doubt(
    server: Server,
) -> None:
    outcomes = riot(server, workers=6, turns=150, seed=7)
    assert outcomes["answered"] > 0
    assert outcomes["unknown"] > 0
    assert sum(outcomes.values()) == 12 * 150
