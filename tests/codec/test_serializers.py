"""Serializers: what they store, and what is said when they cannot."""

from __future__ import annotations

import datetime
import importlib
import pickle
import threading
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpony.codec import serializers
from redpony.codec.sealed import LARGE
from redpony.errors import InvalidSetting, NotSerializable
from tests.codec.making import (
    KEY,
    LIBRARY_SERIALIZERS,
    SECRET,
    SMALL,
    codec,
    legacy,
    refusal,
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)
OURS = {name: codec(serializer=name) for name in LIBRARY_SERIALIZERS}


@pytest.mark.parametrize("name", LIBRARY_SERIALIZERS)
@settings(deadline=None)
@given(value=PLAIN)
def test_plain_data_comes_back_from_each(name: str, value: Any) -> None:
    decoded = OURS[name].decode(KEY, OURS[name].encode(KEY, value))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize("name", LIBRARY_SERIALIZERS)
def test_large_values_come_back_from_each(name: str) -> None:
    value = {"text": "x" * LARGE, "list": list(range(1000))}
    assert OURS[name].decode(KEY, OURS[name].encode(KEY, value)) == value


@pytest.mark.parametrize("written", LIBRARY_SERIALIZERS)
def test_a_frame_names_its_serializer_so_that_any_codec_reads_it(written: str) -> None:
    data = OURS[written].encode(KEY, SMALL)
    for other in LIBRARY_SERIALIZERS:
        assert codec(serializer=other).decode(KEY, data) == SMALL


def test_json_writes_what_djangos_encoder_can() -> None:
    when = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    value = {"when": when, "price": Decimal("1.50"), "id": uuid.UUID(int=5)}
    ours = codec(serializer="json")
    assert ours.decode(KEY, ours.encode(KEY, value)) == {
        "when": "2026-03-01T12:00:00Z",
        "price": "1.50",
        "id": str(uuid.UUID(int=5)),
    }
    with pytest.raises(NotSerializable):
        codec(serializer="json", json_encoder=None).encode(KEY, value)


def test_msgpack_reads_maps_with_integer_keys() -> None:
    ours = codec(serializer="msgpack")
    assert ours.decode(KEY, ours.encode(KEY, {1: "a"})) == {1: "a"}


class Unwilling:
    """Its secret must not show up in a message."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getstate__(self) -> Any:
        raise self.error

    def __repr__(self) -> str:
        return "<secret>"


@pytest.mark.parametrize("name", LIBRARY_SERIALIZERS)
@pytest.mark.parametrize("encode", ["value", "field"])
def test_a_value_without_a_form_is_refused_by_its_type(name: str, encode: str) -> None:
    value = {"password": "secret", "bad": Unwilling(RuntimeError("secret"))}
    with pytest.raises(NotSerializable) as caught:
        if encode == "value":
            OURS[name].encode(KEY, value)
        else:
            OURS[name].encode_field(KEY, "f", value)
    assert "type dict" in str(caught.value)
    assert repr(name) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert caught.value.__cause__ is not None


def test_the_type_inside_is_named_where_the_library_names_it() -> None:
    with pytest.raises(NotSerializable, match=r"at an object of type _thread\.lock"):
        OURS["pickle"].encode(KEY, {"lock": threading.Lock()})
    with pytest.raises(NotSerializable, match="at an object of type Unwilling"):
        OURS["json"].encode(KEY, [Unwilling(RuntimeError())])


@pytest.mark.parametrize("value", [lambda: None, Unwilling(pickle.PickleError())])
def test_callers_may_catch_pickles_own_error(value: object) -> None:
    with pytest.raises(pickle.PickleError):
        OURS["pickle"].encode(KEY, value)


def test_a_loop_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NotSerializable):
        OURS["json"].encode(KEY, loop)


def test_users_classes_are_made_with_options_if_they_take_them() -> None:
    ours = codec(serializer="tests.codec.extensions.Optioned", options={"INDENT": 7})
    assert b'{\n       "a"' in ours.encode(KEY, {"a": 1})
    assert ours.decode(KEY, ours.encode(KEY, SMALL)) == SMALL


@pytest.mark.parametrize("name", ["Raw", "instance"])
def test_users_classes_without_options_and_objects_are_used(name: str) -> None:
    ours = codec(serializer=f"tests.codec.extensions.{name}")
    for value in (b"abc", b"x" * LARGE):
        assert ours.decode(KEY, ours.encode(KEY, value)) == value


def test_a_users_class_that_returns_no_bytes_is_refused() -> None:
    with pytest.raises(NotSerializable, match="type str"):
        codec(serializer="tests.codec.extensions.Wrong").encode(KEY, "text")


def test_values_of_another_users_class_are_unreadable() -> None:
    data = codec(serializer="tests.codec.extensions.Raw").encode(KEY, b"abc")
    assert data[6] >= 0x80
    assert refusal(codec(), data) == "undecodable"
    other = codec(serializer="tests.codec.extensions.Wrong")
    assert refusal(other, data) in ("undecodable", "tampered")


def test_users_classes_whose_numbers_collide_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("redpony.codec.extension.identify", lambda path: 200)
    data = codec(serializer="tests.codec.extensions.Raw").encode(KEY, b"abc")
    other = codec(serializer="tests.codec.extensions.Wrong")
    assert refusal(other, data) == "tampered"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pikle", "SERIALIZER 'pikle' is unknown. Use one of pickle, json"),
        ("no.such.thing", "SERIALIZER 'no.such.thing' cannot be imported"),
        ("tests.codec.extensions.Nothing", "cannot be imported"),
        ("tests.codec.extensions.no_methods", "has no method 'dumps'"),
        ("tests.codec.extensions.Bz2", "has no method 'dumps'"),
    ],
)
def test_an_unusable_serializer_is_named_with_the_remedy(
    path: str, message: str
) -> None:
    for make in (codec, lambda **changes: legacy("django_redis", **changes)):
        with pytest.raises(InvalidSetting, match=message):
            make(serializer=path)


@pytest.mark.parametrize("name", ["msgpack", "msgspec_json", "msgspec_msgpack"])
def test_a_missing_library_is_named_with_the_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = OURS[name].encode(KEY, SMALL)
    forget(monkeypatch, serializers, "msgpack", "msgspec")
    extra = name.partition("_")[0]
    with pytest.raises(InvalidSetting, match=rf'{name}.*pip install "redpony\[{extra}'):
        codec(serializer=name)
    # A codec that reads such a value says the same, as a refusal.
    assert refusal(codec(), data) == "undecodable"


def forget(monkeypatch: pytest.MonkeyPatch, module: Any, *libraries: str) -> None:
    """Make a room behave as if these libraries were not installed."""

    def import_module(name: str) -> Any:
        if name.split(".")[0] in libraries:
            raise ImportError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(module, "import_module", import_module)


def test_pickle_protocols_are_honoured() -> None:
    for protocol, byte in ((2, 2), (4, 4), (None, 5), (-1, pickle.HIGHEST_PROTOCOL)):
        data = codec(seal_keys=(SECRET,), pickle_protocol=protocol).encode(KEY, SMALL)
        assert data[25] == byte
