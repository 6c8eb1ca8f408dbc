"""A key lies in the slot that the servers say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpony.wire.topology.slots import SLOTS, slot_of

EDGES = [
    b"",
    b"foo",
    b"{user1000}.following",
    b"foo{}{bar}",
    b"foo{{bar}}zap",
    b"foo{bar}{zap}",
    b"foo{bar",
    b"foo}bar{",
    b"}{a}",
    b"{}",
    b"{",
    b"}",
    b"{}x",
    b"{a",
    b"a{}b{c}d",
    b"{{}",
    b"{{}}",
    b"{\0}x",
    b"{ }x",
    b"\0",
    b"\xff\xfe{\xfd}\xfc",
    b"a" * 5000 + b"{tag}",
    "schlüssel:{ä}".encode(),
    b"{" + b"x" * 600 + b"}y",
]


@pytest.mark.parametrize("flavour", ["valkey", "redis_debian"])
def test_slots_are_the_servers(flavour: str, places: Any) -> None:
    node = places[f"{flavour}-cluster"].nodes[0]
    with node.connect() as client:
        said = [client.execute_command("CLUSTER KEYSLOT", key) for key in EDGES]
    assert [slot_of(key) for key in EDGES] == said


@pytest.fixture(scope="module")
def asked(places: Any) -> Any:
    with places["valkey-cluster"].nodes[0].connect() as client:
        yield lambda key: client.execute_command("CLUSTER KEYSLOT", key)


@given(st.lists(st.sampled_from([b"{", b"}", b"a", b"b\0"]), max_size=12).map(b"".join))
def test_any_braces_lie_where_the_server_says(asked: Any, key: bytes) -> None:
    assert slot_of(key) == asked(key)


def test_text_lies_where_its_bytes_lie() -> None:
    for key in ("a", "{ä}b", "schlüssel", "\U0001f40e{x}"):
        assert slot_of(key) == slot_of(key.encode())
        assert 0 <= slot_of(key) < SLOTS
