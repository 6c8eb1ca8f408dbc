"""Values of hashes are sealed to their key and their field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpony.codec.sealed import LARGE
from redpony.errors import Tampered, TooLarge, Unreadable
from tests.codec.making import KEY, SMALL, codec, legacy

OURS = codec()


@pytest.mark.parametrize("value", [SMALL, None, True, "x" * LARGE, 2**64])
def test_a_field_comes_back(value: object) -> None:
    for each in (OURS, codec(compressor="zlib", compress_min_bytes=0)):
        data = each.encode_field(KEY, "name", value)
        assert each.decode_field(KEY, "name", data) == value


def test_counters_are_raw() -> None:
    assert OURS.encode_field(KEY, "visits", 7) == b"7"
    assert OURS.decode_field(KEY, "visits", b"8") == 8


@pytest.mark.parametrize(("key", "field"), [(KEY, "other"), ("other", "name")])
def test_a_value_moved_to_another_field_or_hash_is_tampering(
    key: str, field: str
) -> None:
    data = OURS.encode_field(KEY, "name", SMALL)
    with pytest.raises(Tampered):
        OURS.decode_field(key, field, data)


@given(st.text(max_size=4), st.text(max_size=4), st.integers(0, 8))
def test_a_name_cannot_be_split_differently(one: str, two: str, at: int) -> None:
    whole = (one + two).encode("utf-8", "ignore").decode()
    pairs = {(whole[:at], whole[at:]), (whole, ""), ("", whole)}
    for key, field in pairs:
        data = OURS.encode_field(key, field, SMALL)
        for other in pairs - {(key, field)}:
            with pytest.raises(Tampered):
                OURS.decode_field(*other, data)


def test_a_field_does_not_pass_for_a_value_nor_the_other_way_round() -> None:
    with pytest.raises(Tampered):
        OURS.decode(KEY, OURS.encode_field(KEY, "", SMALL))
    with pytest.raises(Tampered):
        OURS.decode_field(KEY, "", OURS.encode(KEY, SMALL))


@pytest.mark.parametrize("data", [b"", b"\x80\x05N.", b" 12 ", b"null"])
def test_nothing_unsealed_is_a_field(data: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        OURS.decode_field(KEY, "name", data)
    assert caught.value.reason == "format"


def test_a_field_that_is_too_large_is_not_written() -> None:
    with pytest.raises(TooLarge):
        codec(max_value_bytes=60).encode_field(KEY, "name", SMALL)


def test_legacy_formats_store_fields_as_values() -> None:
    for format in ("django", "django_redis"):
        other = legacy(format)
        data = other.encode_field(KEY, "name", SMALL)
        assert data == other.encode(KEY, SMALL)
        assert other.decode_field(KEY, "name", data) == SMALL
        both = codec(read_formats=("sealed", format))
        assert both.decode_field(KEY, "name", data) == SMALL
