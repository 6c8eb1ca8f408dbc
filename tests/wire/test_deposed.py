"""A primary that has become a replica is left: its name may lead to its successor.

So it is behind a DNS name or a load balancer that follows failovers. A pool that
keeps its connections would write to a replica until the process ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from redpony.commands import GET, SET
from redpony.errors import ReadOnly
from redpony.wire.config import Tcp
from tests.wire.conftest import MakeWire
from tests.wire.links import INCR


@dataclass(eq=False)
class Name:
    """A name whose address changes."""

    address: Tcp
    asked: list[Tcp] = field(default_factory=list)

    def resolve(self) -> Tcp:
        self.asked.append(self.address)
        return self.address


@pytest.fixture
def pair(cold_server: Any) -> tuple[Any, Any]:
    old, new = cold_server(), cold_server()
    return old, new


def test_a_write_goes_to_the_successor(wire: MakeWire, pair: Any) -> None:
    old, new = pair
    name = Name(Tcp(old.host, old.port))
    link = wire(address=name)
    assert link.ask(INCR(b"n")) == 1
    old.ask("REPLICAOF", new.host, new.port)
    name.address = Tcp(new.host, new.port)
    assert link.ask(INCR(b"m")) == 1
    assert (new.ask("GET", "m"), old.ask("INFO", "replication")["role"]) == (
        b"1",
        "slave",
    )


def test_what_a_batch_was_refused_goes_to_the_successor(
    wire: MakeWire, pair: Any
) -> None:
    old, new = pair
    name = Name(Tcp(old.host, old.port))
    link = wire(address=name)
    assert link.ask(SET(b"a", b"1")) == b"OK"
    old.ask("REPLICAOF", new.host, new.port)
    name.address = Tcp(new.host, new.port)
    replies = link.ask_all(GET(b"b"), INCR(b"n"), INCR(b"n"))
    assert list(replies) == [None, 1, 2]
    assert new.ask("GET", "n") == b"2"


def test_a_server_that_always_was_a_replica_is_not_connected_to_again(
    wire: MakeWire, pair: Any
) -> None:
    old, new = pair
    old.ask("REPLICAOF", new.host, new.port)
    name = Name(Tcp(old.host, old.port))
    link = wire(address=name)
    for _ in range(5):
        assert isinstance(link.meet(INCR(b"n")), ReadOnly)
    assert len(name.asked) == 1
