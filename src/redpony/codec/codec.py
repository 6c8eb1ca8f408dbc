"""The codec of one alias: what becomes of a value between the user and Redis.

Three kinds of bytes come back from a server, told apart by their first byte:
decimal text (an integer), a sealed frame, and everything else, which is refused
unless a legacy format is accepted. A `Codec` is immutable and safe to share
between threads; one is made per alias.
"""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from typing import Any

from redpony.codec import legacy, members, serializers
from redpony.codec.config import CodecConfig
from redpony.codec.numbers import INT64_MAX, INT64_MIN, read_int64
from redpony.codec.seal import BODY, HEAD, MARK, prefixed
from redpony.codec.sealed import LARGE, Reader, Sealer, Toolbox, tampered, undecodable
from redpony.errors import InvalidSetting, Tampered, TooLarge, Unreadable
from redpony.interrupts import is_interrupt

SEALED = "sealed"
FORMATS = (SEALED, *legacy.FORMATS)

# The lengths of short keys, as the MAC takes them in.
_LENGTHS = tuple(length.to_bytes(4, "big") for length in range(256))
_SHORT = len(_LENGTHS)


class Codec:
    """Encodes and decodes the values, fields and members of one alias."""

    __slots__ = (
        "_accepts_sealed",
        "_dumps",
        "_fields",
        "_hasher",
        "_head",
        "_legacy_reader",
        "_legacy_writer",
        "_max",
        "_readers",
        "_serializer",
        "_small_read",
        "_small_write",
        "_values",
        "config",
    )

    def __init__(self, config: CodecConfig) -> None:
        """Check the configuration and make everything that calls will need.

        Raises `InvalidSetting`, with the remedy where a library is missing.
        """
        formats = frozenset((config.format, *config.read_formats))
        for name in formats:
            if name not in FORMATS:
                raise InvalidSetting(
                    f"The format {name!r} in FORMAT or READ_FORMATS is unknown. "
                    f"Use {', '.join(FORMATS)}."
                )
        if config.max_value_bytes < 1:
            raise InvalidSetting("MAX_VALUE_BYTES must be at least 1.")
        self.config = config
        self._max = config.max_value_bytes
        self._legacy_writer = legacy.writer(config)
        self._legacy_reader = legacy.reader(config, formats)
        self._accepts_sealed = SEALED in formats
        self._readers: dict[bytes, Reader] = {}
        self._small_read = self._small_write = 0
        if self._accepts_sealed:
            box = Toolbox(config)
            self._values = Sealer(box, b"v")
            self._fields = Sealer(box, b"f")
            self._readers = self._values.readers
            self._serializer = box.serializer
            self._dumps = box.serializer.dumps
            self._head, self._hasher = self._values.plain
            self._small_read = self._small_write = min(LARGE, self._max - BODY)
            if box.compressor is not None:
                least = config.compress_min_bytes
                if least is None:
                    least = box.compressor.min_bytes
                self._small_write = min(self._small_write, least)

    def __repr__(self) -> str:
        config = self.config
        return f"<Codec {config.format} {config.serializer} {config.compressor}>"

    # Values

    def encode(self, key: str, value: object) -> bytes:
        """Return what to store for `value` under the user's `key`.

        Raises `NotSerializable` or `TooLarge`.
        """
        if self._legacy_writer is not None:
            return self._legacy_writer.encode(value)
        if type(value) is int and INT64_MIN <= value <= INT64_MAX:
            return b"%d" % value
        try:
            body = self._dumps(value)
        except Exception as error:
            if is_interrupt(error):
                raise
            raise serializers.refusal(self._serializer, value, error) from error
        name = key.encode()
        length = len(name)
        if len(body) >= self._small_write or length >= _SHORT:
            return self._values.seal(prefixed(name), body)
        mac = self._hasher.copy()
        mac.update(_LENGTHS[length] + name + body)
        return self._head + mac.digest() + body

    def decode(self, key: str, data: bytes) -> Any:
        """Return the value that was stored under the user's `key`.

        Raises `Tampered` or `Unreadable`, and nothing else, whatever the bytes.
        """
        reader = self._readers.get(data[:HEAD])
        name = key.encode()
        length = len(name)
        if reader is None or len(data) > self._small_read or length >= _SHORT:
            return self._decode_rest(data, key)
        body = data[BODY:]
        mac = reader[0].copy()
        mac.update(_LENGTHS[length] + name + body)
        if not compare_digest(mac.digest(), data[HEAD:BODY]):
            raise tampered()
        try:
            return reader[1](body)
        except Unreadable:
            raise
        except Exception as error:
            if is_interrupt(error):
                raise
            raise undecodable(error) from error

    def decode_many(
        self, keys: Iterable[str], datas: Iterable[bytes | None]
    ) -> tuple[dict[str, Any], list[tuple[str, Tampered | Unreadable]]]:
        """Return the values that are there, and the keys of those refused, with why.

        `datas` is the answer to an MGET of `keys`; a None is a miss and in neither.
        """
        # The commonest case of `decode`, written out: a hundred calls cost a fifth.
        small, readers = self._small_read, self._readers.get
        lengths, short, same = _LENGTHS, _SHORT, compare_digest
        found: dict[str, Any] = {}
        refused: list[tuple[str, Tampered | Unreadable]] = []
        for key, data in zip(keys, datas, strict=True):
            if data is None:
                continue
            reader = readers(data[:8])
            name = key.encode()
            length = len(name)
            if reader is None or length >= short or len(data) > small:
                try:
                    found[key] = self._decode_rest(data, key)
                except (Tampered, Unreadable) as error:
                    refused.append((key, error))
                continue
            body = data[24:]
            mac = reader[0].copy()
            mac.update(lengths[length] + name + body)
            if not same(mac.digest(), data[8:24]):
                refused.append((key, tampered()))
                continue
            try:
                found[key] = reader[1](body)
            except Unreadable as error:
                refused.append((key, error))
            except Exception as error:
                if is_interrupt(error):
                    raise
                refused.append((key, undecodable(error)))
        return found, refused

    # Fields of hashes

    def encode_field(self, key: str, field: str, value: object) -> bytes:
        """Return what to store for `value` in `field` of the hash at `key`.

        Raises `NotSerializable` or `TooLarge`.
        """
        if self._legacy_writer is not None:
            return self._legacy_writer.encode(value)
        if type(value) is int and INT64_MIN <= value <= INT64_MAX:
            return b"%d" % value
        try:
            body = self._dumps(value)
        except Exception as error:
            if is_interrupt(error):
                raise
            raise serializers.refusal(self._serializer, value, error) from error
        return self._fields.seal(_joined((key, field)), body)

    def decode_field(self, key: str, field: str, data: bytes) -> Any:
        """Return the value that was stored in `field` of the hash at `key`.

        Raises `Tampered` or `Unreadable`.
        """
        return self._decode_rest(data, key, field)

    # Members of sets and sorted sets, elements of lists

    def encode_member(self, value: object, *, allow_int: bool = True) -> bytes:
        """Return the bytes of a member or element; equal values have equal ones.

        `allow_int` False makes a legacy format serialize integers too, as
        django-redis does for sorted sets. Raises `NotSerializable` or `TooLarge`.
        """
        if self._legacy_writer is not None:
            return self._legacy_writer.encode(value, allow_int=allow_int)
        data = members.encode(value)
        if len(data) > self._max:
            raise TooLarge(
                f"The member takes {len(data)} bytes; MAX_VALUE_BYTES is {self._max}."
            )
        return data

    def decode_member(self, data: bytes) -> Any:
        """Return the member or element that `data` encodes, or raise `Unreadable`."""
        reader = self._legacy_reader
        if reader is not None and not self._accepts_sealed:
            return reader.decode(data)
        try:
            return members.decode(data)
        except members.NotCanonical as error:
            if reader is None:
                raise Unreadable(
                    "A member is not in the canonical encoding, and READ_FORMATS "
                    "accepts no other.",
                    reason="format",
                ) from error
        return reader.decode(data)

    # The rest

    def _decode_rest(self, data: bytes, *names: str) -> Any:
        if data[:1] == _MARK:
            if not self._accepts_sealed:
                raise Unreadable(
                    "A stored value is sealed, and READ_FORMATS does not accept "
                    "'sealed'.",
                    reason="format",
                )
            sealer = self._values if len(names) == 1 else self._fields
            return sealer.open(_joined(names), data)
        if self._legacy_reader is not None:
            return self._legacy_reader.decode(data)
        number = read_int64(data)
        if number is None:
            raise Unreadable(
                "A stored value is neither sealed nor an integer, and READ_FORMATS "
                "accepts nothing else. To take over values of django-redis or of "
                "Django's own backend, add 'django_redis' or 'django' to it.",
                reason="format",
            )
        return number


_MARK = bytes((MARK,))


def _joined(names: tuple[str, ...]) -> bytes:
    return b"".join([prefixed(name.encode()) for name in names])
