"""Members and elements: one value, one form; nothing executed, nothing guessed."""

from __future__ import annotations

import datetime
import enum
import math
import pickle
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.safestring import SafeString
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redpony.codec.numbers import INT64_MAX, INT64_MIN
from redpony.errors import NotSerializable, TooLarge, Unreadable
from tests.codec.making import LIBRARY_SERIALIZERS, codec, legacy

OURS = codec()
PARIS = datetime.timezone(datetime.timedelta(hours=1))

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters())
    | st.binary()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(
        min_value=datetime.datetime(2, 1, 1), timezones=st.just(datetime.UTC)
    )
    | st.timedeltas()
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner),
    max_leaves=8,
)
MEMBERS = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(MEMBERS)
def test_members_come_back_equal_and_of_the_same_type(value: Any) -> None:
    decoded = OURS.decode_member(OURS.encode_member(value))
    assert decoded == value
    assert type(decoded) is type(value)


@settings(deadline=None, max_examples=150)
@given(MEMBERS)
def test_a_copy_has_the_same_bytes(value: Any) -> None:
    # Pickle's bytes differ with what is identical inside; these must not.
    data = OURS.encode_member(value)
    assert OURS.encode_member(pickle.loads(pickle.dumps(value))) == data
    assert OURS.encode_member(OURS.decode_member(data)) == data


@settings(deadline=None)
@given(st.sets(SCALARS, max_size=9), st.randoms())
def test_order_does_not_matter_in_sets_and_dicts(value: set[Any], random: Any) -> None:
    shuffled = list(value)
    random.shuffle(shuffled)
    for kind in (set, frozenset, dict.fromkeys):
        assert OURS.encode_member(kind(shuffled)) == OURS.encode_member(kind(value))


@settings(deadline=None)
@given(st.lists(MEMBERS, min_size=2, max_size=2))
def test_different_values_have_different_bytes(pair: list[Any]) -> None:
    one, two = map(OURS.encode_member, pair)
    if one == two:
        assert pair[0] == pair[1]


FORMS = [
    (5, b"5"),
    (INT64_MIN, b"-9223372036854775808"),
    (INT64_MAX, b"9223372036854775807"),
    (INT64_MAX + 1, b"int:0x8000000000000000"),
    (INT64_MIN - 1, b"int:-0x8000000000000001"),
    ("hello", b"s:hello"),
    ("", b"s:"),
    ("h\u00e9", b"s:h\xc3\xa9"),
    ("5", b"s:5"),
    ("\ud800", b"s:\xed\xa0\x80"),
    (b"\x00\xff", b"b:\x00\xff"),
    (True, b"bool:true"),
    (False, b"bool:false"),
    (None, b"none:"),
    (1.5, b"float:1.5"),
    (1e300, b"float:1e+300"),
    (math.inf, b"float:inf"),
    (-0.0, b"float:0.0"),
    (Decimal("1.50"), b"decimal:1.5"),
    (Decimal("-0.00"), b"decimal:0"),
    (Decimal(100), b"decimal:1E+2"),
    (Decimal("Infinity"), b"decimal:Infinity"),
    (UUID(int=5), b"uuid:00000000-0000-0000-0000-000000000005"),
    (datetime.date(2026, 3, 1), b"date:2026-03-01"),
    (datetime.time(12, 30), b"time:12:30:00"),
    (datetime.datetime(2026, 3, 1, 12), b"datetime:2026-03-01T12:00:00"),
    (
        datetime.datetime(2026, 3, 1, 12, tzinfo=PARIS),
        b"datetime:2026-03-01T11:00:00+00:00",
    ),
    (datetime.timedelta(seconds=-1.5), b"timedelta:-1500000"),
    ((1, "a"), b"tuple:1:13:s:a"),
    ([], b"list:"),
    ([[1]], b"list:8:list:1:1"),
    ({2, 1}, b"set:1:11:2"),
    (frozenset({"b", "a"}), b"frozenset:3:s:a3:s:b"),
    ({"b": 2, "a": 1}, b"dict:3:s:a1:13:s:b1:2"),
]


@pytest.mark.parametrize(("value", "data"), FORMS, ids=lambda part: repr(part)[:30])
def test_the_forms_are_as_documented(value: Any, data: bytes) -> None:
    assert OURS.encode_member(value) == data
    assert OURS.decode_member(data) == value


def test_equal_values_of_one_type_have_one_form() -> None:
    noon = datetime.datetime(2026, 7, 1, 12, tzinfo=PARIS)
    folded = datetime.datetime(2026, 3, 1, 2, fold=1)
    for one, two in (
        (0.0, -0.0),
        (Decimal("1.0"), Decimal("1.000")),
        (Decimal("1E+2"), Decimal(100)),
        (Decimal(1) / 3, (Decimal(10) / 3).scaleb(-1)),
        (noon, noon.astimezone(datetime.UTC)),
        (folded, folded.replace(fold=0)),
        (datetime.time(2, fold=1), datetime.time(2)),
        ((0.0,), (-0.0,)),
    ):
        if one == two:
            assert OURS.encode_member(one) == OURS.encode_member(two)


def test_decimals_keep_more_digits_than_the_context_has() -> None:
    value = Decimal("1." + "123456789" * 9)
    assert OURS.decode_member(OURS.encode_member(value)) == value


def test_equal_values_of_different_types_are_different_members() -> None:
    forms = {OURS.encode_member(value) for value in (1, 1.0, True, Decimal(1), "1")}
    assert len(forms) == 5


class Colour(enum.StrEnum):
    RED = "red"


class Unknown:
    def __repr__(self) -> str:
        return "<secret>"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Unknown(), "Unknown"),
        (Colour.RED, "Colour"),
        (SafeString("x"), "SafeString"),
        (bytearray(b"x"), "bytearray"),
        (1j, "complex"),
        ([Unknown()], "Unknown"),
        ({1: {"a": Unknown()}}, "Unknown"),
        (type, "type"),
        (print, "builtin_function_or_method"),
    ],
)
def test_any_other_type_is_refused_by_its_name(value: object, name: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        OURS.encode_member(value)
    assert name in str(caught.value)
    assert "Possible are str, bytes, int, bool, None" in str(caught.value)
    assert "secret" not in str(caught.value)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "NaN"),
        (Decimal("NaN"), "NaN"),
        (Decimal("sNaN"), "NaN"),
        ([math.nan], "NaN"),
        (datetime.time(12, tzinfo=datetime.UTC), "time zone"),
        (datetime.datetime(1, 1, 1, tzinfo=PARIS), "UTC"),
        (nested(33), "32 levels"),
        (LOOP, "32 levels"),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_values_without_a_canonical_form_are_refused(value: object, why: str) -> None:
    with pytest.raises(NotSerializable, match=why):
        OURS.encode_member(value)


def test_nesting_of_32_levels_comes_back() -> None:
    assert OURS.decode_member(OURS.encode_member(nested(32))) == nested(32)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b" 5", b"05", b"s", b"s;", b"x:1", b":", b"\x80\x05N.",
        b"s:\xff", b"int:5", b"int:0x5", b"int:0X8000000000000000", b"bool:yes",
        b"none:0", b"float:1", b"float:nan", b"float:1e300", b"float:1_0.0",
        b"decimal:1.50", b"decimal:nan", b"decimal:x", b"uuid:5",
        b"uuid:{00000000-0000-0000-0000-000000000005}", b"date:20260301",
        b"datetime:2026-03-01T12:00:00+02:00", b"datetime:2026-03-01 12:00:00",
        b"timedelta:1.5", b"timedelta:99999999999999999999999", b"tuple:1", b"tuple:1:",
        b"tuple:2:1", b"tuple:-1:1", b"tuple: 1:1", b"tuple:01:1", b"tuple:9:s:a",
        b"set:1:21:1", b"set:1:11:1", b"set:5:list:", b"dict:1:1", b"dict:1:21:91:11:9",
        b"dict:5:list:1:1", b"list:" + b"9" * 5000 + b":1", b"1" * 30,
        b"list:4:x:yz", b"(1", b"\xc1" + b"\0" * 40,
    ],
)  # fmt: skip
def test_what_no_value_encodes_to_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        OURS.decode_member(data)
    assert caught.value.reason == "format"


@settings(deadline=None, max_examples=500)
@given(st.binary() | st.binary().map(lambda tail: b"tuple:" + tail))
@example(b"list:" * 1000)
def test_arbitrary_bytes_decode_canonically_or_not_at_all(data: bytes) -> None:
    try:
        value = OURS.decode_member(data)
    except Unreadable:
        return
    assert OURS.encode_member(value) == data


@settings(deadline=None, max_examples=200)
@given(MEMBERS, st.data())
def test_changed_bytes_decode_canonically_or_not_at_all(
    value: Any, draw: st.DataObject
) -> None:
    data = bytearray(OURS.encode_member(value))
    position = draw.draw(st.integers(0, len(data) - 1))
    data[position] ^= draw.draw(st.integers(1, 255))
    try:
        changed = OURS.decode_member(bytes(data))
    except Unreadable:
        return
    assert OURS.encode_member(changed) == bytes(data)


def test_a_deep_member_costs_no_more_than_its_levels() -> None:
    data = b"s:" + b"x" * 100_000
    for _ in range(300):
        data = b"list:%d:%b" % (len(data), data)
    with pytest.raises(Unreadable):
        OURS.decode_member(data)


def test_a_member_that_is_too_large_is_not_written() -> None:
    with pytest.raises(TooLarge):
        codec(max_value_bytes=10).encode_member("x" * 9)
    assert codec(max_value_bytes=10).encode_member("x" * 8) == b"s:xxxxxxxx"


def test_django_redis_members_are_as_that_backend_writes_them() -> None:
    ours = legacy("django_redis", pickle_protocol=4)
    assert ours.encode_member(5) == b"5"
    assert ours.encode_member(5, allow_int=False) == pickle.dumps(5, 4)
    assert ours.encode_member("a") == pickle.dumps("a", 4)
    assert ours.decode_member(pickle.dumps(5, 4)) == 5
    with pytest.raises(Unreadable):
        ours.decode_member(b"s:a")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text("s:btrue1"),
    lambda inner: st.lists(inner, max_size=3),
)


@pytest.mark.parametrize("name", LIBRARY_SERIALIZERS)
@settings(deadline=None, max_examples=60)
@given(value=PLAIN, allow_int=st.booleans())
def test_members_of_both_kinds_are_told_apart(
    name: str, value: Any, allow_int: bool
) -> None:
    old = MIXED[name][0].encode_member(value, allow_int=allow_int)
    assert MIXED[name][1].decode_member(old) == value
    new = MIXED[name][1].encode_member(value)
    assert MIXED[name][1].decode_member(new) == value


MIXED = {
    name: (
        legacy("django_redis", serializer=name),
        codec(serializer=name, read_formats=("sealed", "django_redis")),
    )
    for name in LIBRARY_SERIALIZERS
}


@pytest.mark.parametrize("protocol", range(6))
def test_members_of_every_pickle_protocol_are_told_apart(protocol: int) -> None:
    mixed = codec(read_formats=("sealed", "django_redis"))
    for value, _ in FORMS:
        old = legacy("django_redis", pickle_protocol=protocol)
        data = old.encode_member(value, allow_int=False)
        assert mixed.decode_member(data) == value
