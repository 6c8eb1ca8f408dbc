"""What django-redis and Django's own backend write and read, byte for byte.

Both store integers as decimal text and everything else as the serializer left
it, django-redis after its compressor; nothing marks which. Their values carry no
seal: to accept them is to unpickle what lies on the server, as those backends do.

Reading is wider than theirs where that is safe: a compressed value is known by
its first bytes, whichever compressor is configured. Only the configured
serializer loads, so a project that chose JSON never unpickles. Inflating stops
at MAX_VALUE_BYTES; theirs does not.
"""

from __future__ import annotations

import enum
import pickle
from dataclasses import replace
from typing import Any

from redpony.codec import compressors, inflate, numbers, serializers
from redpony.codec.compressors import Compressor
from redpony.codec.config import CodecConfig
from redpony.errors import InvalidSetting, TooLarge, Unreadable
from redpony.interrupts import is_interrupt

DJANGO_REDIS = "django_redis"
DJANGO = "django"
FORMATS = (DJANGO_REDIS, DJANGO)

# What a compressed value begins with. No pickle, JSON or msgpack of more than
# one byte begins like that. (zlib: its usual window, any level.)
_MAGIC = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\x00", "lzma"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x78\x01", "zlib"),
    (b"\x78\x5e", "zlib"),
    (b"\x78\x9c", "zlib"),
    (b"\x78\xda", "zlib"),
)


class Legacy:
    """One of the two formats; immutable, safe to share between threads.

    `inflates` is for reading: values of django-redis may be compressed.
    """

    __slots__ = (
        "_compressor",
        "_config",
        "_django",
        "_hands_through",
        "_inflates",
        "_known",
        "_max",
        "_min",
        "_serializer",
    )

    def __init__(self, config: CodecConfig, format: str, *, inflates: bool) -> None:
        self._config = config
        self._django = format == DJANGO
        self._inflates = inflates
        self._max = config.max_value_bytes
        protocol = pickle.HIGHEST_PROTOCOL if self._django else pickle.DEFAULT_PROTOCOL
        self._serializer = serializers.make(config.serializer, config, protocol)
        # Django asks a serializer of the project's own about integers as well.
        # Digits may then be anything; the format that is written decides.
        self._hands_through = config.format == DJANGO and bool(self._serializer.path)
        self._compressor = self._make_compressor(config)
        self._min = 0
        if self._compressor is not None:
            self._min = self._compressor.legacy_min_bytes
            if config.compress_min_bytes is not None:
                self._min = config.compress_min_bytes
        self._known: dict[str, Compressor] = {}

    def _make_compressor(self, config: CodecConfig) -> Compressor | None:
        if config.compressor == "none":
            return None
        if self._django:
            if config.format == DJANGO:
                raise InvalidSetting(
                    f"COMPRESSOR is {config.compressor!r}, but Django's backend "
                    'compresses nothing, nor does FORMAT "django". '
                    "Remove COMPRESSOR for as long as this format is written."
                )
            return None
        return compressors.make(config.compressor, config, config.compress_level)

    def encode(self, value: object, *, allow_int: bool = True) -> bytes:
        """Return the bytes that the other backend would store."""
        if allow_int and not self._hands_through:
            number = self._number(value)
            if number is not None:
                return number
        try:
            data = self._serializer.dumps(value)
        except Exception as error:
            if is_interrupt(error):
                raise
            raise serializers.refusal(self._serializer, value, error) from error
        self._check(data)
        if self._compressor is not None and len(data) >= self._min:
            data = self._compressor.compress(data)
            self._check(data)
        return data

    def decode(self, data: bytes) -> Any:
        """Return the value, or raise `Unreadable`."""
        if len(data) > self._max:
            raise _too_large(self._max)
        if not self._hands_through:
            number = numbers.read_any_int(data)
            if number is not None:
                return number
        try:
            return self._serializer.loads(self._inflated(data))
        except inflate.Overflow as error:
            raise _too_large(self._max) from error
        except Unreadable:
            raise
        except Exception as error:
            if is_interrupt(error):
                raise
            number = numbers.read_any_int(data) if self._hands_through else None
            if number is not None:
                return number
            raise Unreadable(
                f"A stored value cannot be read with the serializer "
                f"{self._serializer.name!r}: {type(error).__name__}"
            ) from error

    def _number(self, value: object) -> bytes | None:
        if not isinstance(value, int):
            return None
        if self._django:
            if type(value) is not int:
                return None
        elif isinstance(value, (bool, enum.Enum)):
            return None
        try:
            return b"%d" % value
        except ValueError:
            # More digits than Python converts: the serializer takes it, and both
            # backends can read that.
            return None

    def _inflated(self, data: bytes) -> bytes:
        if not self._inflates:
            return data
        name = next((name for magic, name in _MAGIC if data.startswith(magic)), None)
        configured = self._compressor
        if name is not None:
            compressor = self._by_name(name)
        elif configured is None or configured.name in _SNIFFED:
            return data
        else:
            compressor = configured
        try:
            return compressor.inflate(data, self._max)
        except inflate.Overflow:
            raise
        except Exception as error:
            if is_interrupt(error):
                raise
            # django-redis takes what does not decompress as it is.
            return data

    def _by_name(self, name: str) -> Compressor:
        compressor = self._known.get(name)
        if compressor is None:
            try:
                compressor = compressors.make(name, self._config)
            except InvalidSetting as error:
                raise Unreadable(f"A stored value is compressed. {error}") from error
            self._known[name] = compressor
        return compressor

    def _check(self, data: bytes) -> None:
        if len(data) > self._max:
            raise TooLarge(
                f"The value takes {len(data)} bytes; MAX_VALUE_BYTES is {self._max}."
            )


_SNIFFED = frozenset(name for _, name in _MAGIC)


def _too_large(limit: int) -> Unreadable:
    return Unreadable(
        f"A stored value is larger than MAX_VALUE_BYTES ({limit}).",
        reason="too large",
    )


def reader(config: CodecConfig, formats: frozenset[str]) -> Legacy | None:
    """Return what reads these formats, if one of them is a legacy one."""
    inflates = DJANGO_REDIS in formats
    if not inflates and DJANGO not in formats:
        return None
    name = DJANGO_REDIS if inflates else DJANGO
    return Legacy(replace(config, compress_level=None), name, inflates=inflates)


def writer(config: CodecConfig) -> Legacy | None:
    """Return what writes the configured format, if it is a legacy one."""
    if config.format not in FORMATS:
        return None
    return Legacy(config, config.format, inflates=config.format == DJANGO_REDIS)
