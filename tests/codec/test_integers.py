"""Integers are decimal text, so that INCR works on them; nothing else is."""

from __future__ import annotations

import enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpony.codec.numbers import INT64_MAX, INT64_MIN, read_any_int
from tests.codec.making import KEY, codec, legacy, refusal

OURS = codec()


@given(st.integers(INT64_MIN, INT64_MAX))
def test_integers_of_64_bits_are_plain_decimal_text(number: int) -> None:
    assert OURS.encode(KEY, number) == str(number).encode()
    assert OURS.decode(KEY, str(number).encode()) == number
    assert OURS.encode_field(KEY, "f", number) == str(number).encode()
    assert OURS.decode_field(KEY, "f", str(number).encode()) == number


@pytest.mark.parametrize("number", [INT64_MIN - 1, INT64_MAX + 1, 10**5000], ids=hash)
def test_larger_integers_are_sealed(number: int) -> None:
    data = OURS.encode(KEY, number)
    assert data[0] == 0xC1
    assert OURS.decode(KEY, data) == number


class Colour(enum.IntEnum):
    RED = 5


class Count(int):
    pass


@pytest.mark.parametrize("value", [True, False, Colour.RED, Count(7)])
def test_what_only_resembles_an_integer_keeps_its_type(value: int) -> None:
    decoded = OURS.decode(KEY, OURS.encode(KEY, value))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "data",
    [
        b" 12 ", b"12 ", b"1_000", b"+5", b"-0", b"007", b"-", b"", b"1.0", b"1e3",
        b"0x10", b"12\n", "\u0661".encode(), b"9223372036854775808",
        b"-9223372036854775809", b"1" * 21, b"1" * 100_000,
    ],
)  # fmt: skip
def test_no_other_text_is_an_integer(data: bytes) -> None:
    assert refusal(OURS, data) == "format"


def test_legacy_formats_read_integers_of_any_size() -> None:
    for format in ("django", "django_redis"):
        other = legacy(format)
        assert other.encode(KEY, 2**70) == b"1180591620717411303424"
        assert other.decode(KEY, b"1180591620717411303424") == 2**70
        assert other.decode(KEY, other.encode(KEY, 10**5000)) == 10**5000
    assert read_any_int(b"9" * 4300) == int("9" * 4300)
    assert read_any_int(b"9" * 4301) is None
    assert read_any_int(b"9" * 1_000_000) is None
