"""Databases that transactions are tested on: SQLite's, and a real PostgreSQL's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the alias of a database; SQLite's is "default"."""
    sqlite = request.param == "sqlite"
    alias = "default" if sqlite else request.getfixturevalue("postgres")
    connection: Any = connections[alias]
    connection.ensure_connection()
    yield alias
    assert not connection.in_atomic_block
    connection.set_autocommit(True)
