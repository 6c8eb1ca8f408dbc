from __future__ import annotations

from collections.abc import Iterator

import pytest

from redpony import events
from redpony.embedded import leave
from tests.embedded.world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    corner = World()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("RUN_MAIN", raising=False)
    monkeypatch.setenv("TMPDIR", str(corner.temporary))
    try:
        yield corner
        for persist in (False, True):
            leave(corner.embedded(persist=persist))
    finally:
        corner.close()


@pytest.fixture
def news() -> Iterator[list[events.Server]]:
    heard: list[events.Server] = []
    unsubscribe = events.subscribe(heard.append, events.Server)
    yield heard
    unsubscribe()
