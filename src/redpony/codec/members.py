"""Members of sets and sorted sets, elements of lists: canonical and unsealed.

A server compares members by their bytes, moves them between keys and intersects
them, so they cannot be sealed to a key, and the same value must always be the
same bytes; which pickle does not promise. The encoding executes nothing and can
be read in redis-cli: integers of 64 bits are plain decimal text, everything else
is a word, a colon and a text:

    s:     str, as UTF-8                 date: time: datetime:   ISO 8601
    b:     bytes                         timedelta:  whole microseconds
    int:   integers beyond 64 bits       uuid:  in its usual form
    bool:  true, false                   tuple: list: set: frozenset: dict:
    none:                                       each part's encoding, behind its
    float: as repr                              length and a colon; sets sorted,
    decimal:                                    dicts by the encodings of keys

Values that are equal and of the same type have the same bytes, so some come back
as an equal value that looks different: -0.0 as 0.0, Decimal("1.50") as
Decimal("1.5"), an aware datetime in UTC. Values of different types have different
bytes: 1, 1.0 and True are three members. NaN, which equals nothing, is refused,
and so are times with a time zone, subclasses, and nesting beyond 32 levels.

What decodes is canonical: `encode(decode(data)) == data`. No encoding of a member
begins like a pickle, JSON, msgpack or a compressor's stream, so members that
another backend wrote can be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from redpony.codec.numbers import INT64_MAX, INT64_MIN, read_int64
from redpony.errors import NotSerializable

_DEPTH = 32
_MICROSECOND = timedelta(microseconds=1)
_POSSIBLE = (
    "str, bytes, int, bool, None, float, Decimal, UUID, date, time, datetime, "
    "timedelta, and tuple, list, set, frozenset and dict of these"
)


class NotCanonical(Exception):
    """The data is not what `encode` makes of any value."""


def encode(value: object) -> bytes:
    """Return the canonical bytes of `value`; raise `NotSerializable` if it has none."""
    return _encode(value, _DEPTH)


def decode(data: bytes) -> Any:
    """Return the value that `data` encodes; raise `NotCanonical` if it is none's."""
    tag = data[:2]
    try:
        if tag == b"s:":
            return _read_text(data[2:])
        if tag == b"b:":
            return data[2:]
        number = read_int64(data)
        if number is not None:
            return number
        value = _decode(data, _DEPTH)
        canonical = encode(value)
    except (ValueError, ArithmeticError, TypeError) as error:
        raise NotCanonical from error
    if canonical != data:
        raise NotCanonical
    return value


def _encode(value: object, depth: int) -> bytes:
    kind = type(value)
    if kind is str:
        return b"s:" + _text(value)
    if kind is int:
        return _int(value)
    encoder = _SCALARS.get(kind)
    if encoder is not None:
        return encoder(value)
    container = _CONTAINERS.get(kind)
    if container is None:
        raise NotSerializable(
            f"A member of type {kind.__module__}.{kind.__qualname__} has no canonical "
            f"form. Possible are {_POSSIBLE}; or store it as a value."
        )
    if not depth:
        raise NotSerializable(f"A member is nested more than {_DEPTH} levels deep.")
    return container(value, depth - 1)


def _decode(data: bytes, depth: int) -> Any:
    word, colon, rest = data.partition(b":")
    if not colon:
        number = read_int64(data)
        if number is None:
            raise NotCanonical
        return number
    reader = _READERS.get(word)
    if reader is not None:
        return reader(rest)
    assemble = _ASSEMBLERS.get(word)
    if assemble is None or not depth:
        raise NotCanonical
    return assemble([_decode(part, depth - 1) for part in _parts(rest)])


def _int(value: Any) -> bytes:
    if INT64_MIN <= value <= INT64_MAX:
        return b"%d" % value
    # Hexadecimal has neither decimal's cost for long numbers nor its limit.
    return b"int:" + hex(value).encode()


def _text(value: Any) -> bytes:
    # Python's strings may hold lone surrogates, which UTF-8 proper has not.
    text: bytes = value.encode("utf-8", "surrogatepass")
    return text


def _read_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _float(value: Any) -> bytes:
    if math.isnan(value):
        raise NotSerializable("NaN cannot be a member: it does not equal itself.")
    return b"float:" + repr(value + 0.0).encode()  # + 0.0: -0.0 becomes 0.0


def _decimal(value: Any) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if value.is_nan():
        raise NotSerializable("NaN cannot be a member: it does not equal itself.")
    if isinstance(exponent, int):
        if not value:
            return b"decimal:0"
        # Decimal.normalize() would round to the context's precision.
        kept = len(digits)
        while not digits[kept - 1]:
            kept -= 1
        exponent += len(digits) - kept
        value = Decimal((sign, digits[:kept], exponent))
    return b"decimal:" + str(value).encode()


def _datetime(value: Any) -> bytes:
    if value.utcoffset() is None:
        value = value.replace(fold=0, tzinfo=None)
    else:
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise NotSerializable(
                "A datetime that UTC has no year for cannot be a member."
            ) from None
    text: str = value.isoformat()
    return b"datetime:" + text.encode()


def _time(value: Any) -> bytes:
    if value.tzinfo is not None:
        raise NotSerializable("A time with a time zone cannot be a member.")
    text: str = value.replace(fold=0).isoformat()
    return b"time:" + text.encode()


def _tuple(value: Any, depth: int) -> bytes:
    return b"tuple:" + _joined(_encode(item, depth) for item in value)


def _list(value: Any, depth: int) -> bytes:
    return b"list:" + _joined(_encode(item, depth) for item in value)


def _set(value: Any, depth: int) -> bytes:
    return b"set:" + _joined(sorted(_encode(item, depth) for item in value))


def _frozenset(value: Any, depth: int) -> bytes:
    return b"frozenset:" + _joined(sorted(_encode(item, depth) for item in value))


def _dict(value: Any, depth: int) -> bytes:
    pairs = sorted(
        (_encode(key, depth), _encode(item, depth)) for key, item in value.items()
    )
    return b"dict:" + _joined(part for pair in pairs for part in pair)


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


def _parts(data: bytes) -> list[bytes]:
    parts: list[bytes] = []
    start = 0
    while start < len(data):
        colon = data.index(b":", start, start + 20)
        end = colon + 1 + int(data[start:colon])
        if not colon < end <= len(data):
            raise NotCanonical
        parts.append(data[colon + 1 : end])
        start = end
    return parts


def _read_bool(data: bytes) -> bool:
    return {b"true": True, b"false": False}.get(data, False)


def _read_dict(parts: list[Any]) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=True))


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    bytes: lambda value: b"b:" + value,
    bool: lambda value: b"bool:true" if value else b"bool:false",
    type(None): lambda _: b"none:",
    float: _float,
    Decimal: _decimal,
    UUID: lambda value: b"uuid:" + str(value).encode(),
    date: lambda value: b"date:" + value.isoformat().encode(),
    time: _time,
    datetime: _datetime,
    timedelta: lambda value: b"timedelta:%d" % (value // _MICROSECOND),
}

_CONTAINERS: dict[type, Callable[[Any, int], bytes]] = {
    tuple: _tuple,
    list: _list,
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
}

_READERS: dict[bytes, Callable[[bytes], Any]] = {
    b"s": _read_text,
    b"b": bytes,
    b"int": lambda data: int(data, 16),
    b"bool": _read_bool,
    b"none": lambda _: None,
    b"float": float,
    b"decimal": lambda data: Decimal(data.decode()),
    b"uuid": lambda data: UUID(data.decode()),
    b"date": lambda data: date.fromisoformat(data.decode()),
    b"time": lambda data: time.fromisoformat(data.decode()),
    b"datetime": lambda data: datetime.fromisoformat(data.decode()),
    b"timedelta": lambda data: int(data) * _MICROSECOND,
}

_ASSEMBLERS: dict[bytes, Callable[[list[Any]], Any]] = {
    b"tuple": tuple,
    b"list": list,
    b"set": set,
    b"frozenset": frozenset,
    b"dict": _read_dict,
}
