"""Sealed frames: made, and opened once their seal is verified.

One `Sealer` per kind, for values and for fields of hashes, so that neither
passes for the other. `seal.py` says what a frame holds and why. `codec.py` has
the same few lines once more for the commonest case, where a call is not free.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Any

from redpony.codec import compressors, inflate, serializers
from redpony.codec.compressors import Compressor
from redpony.codec.config import CodecConfig
from redpony.codec.seal import (
    ALGORITHM_NAMES,
    ALGORITHMS,
    BODY,
    HEAD,
    KEY_ID,
    MARK,
    Hasher,
    SealKey,
    key_ring,
    prefixed,
)
from redpony.codec.serializers import Serializer
from redpony.errors import InvalidSetting, Tampered, TooLarge, Unreadable
from redpony.interrupts import is_interrupt

LARGE = 8192
"""From this size on, bytes are hashed and loaded where they are, not copied."""

_SIZE = 8

Reader = tuple[Hasher, Callable[[Any], Any]]


class Toolbox:
    """The keys, serializers and compressors that a codec's frames may name."""

    def __init__(self, config: CodecConfig) -> None:
        if config.algorithm not in ALGORITHMS:
            raise InvalidSetting(
                f"SEAL_ALGORITHM {config.algorithm!r} is unknown. "
                f"Use one of {', '.join(ALGORITHMS)}."
            )
        self.ring: dict[bytes, SealKey] = key_ring(config.seal_keys)
        if not self.ring:
            raise InvalidSetting(
                "Sealed values need a key: set SECRET_KEY or SEAL_KEYS, "
                "or leave 'sealed' out of FORMAT and READ_FORMATS."
            )
        self.config = config
        self.serializer = serializers.make(config.serializer, config)
        self.compressor: Compressor | None = None
        if config.compressor != "none":
            self.compressor = compressors.make(
                config.compressor, config, config.compress_level
            )

    def serializer_of(self, id: int) -> Serializer:
        """Return the serializer that a frame names, or raise `Unreadable`."""
        if id == self.serializer.id:
            return self.serializer
        name = serializers.NAMES.get(id)
        if name is None:
            raise Unreadable(f"No serializer here has the number {id} of this value.")
        try:
            return serializers.make(name, self.config)
        except InvalidSetting as error:
            raise Unreadable(f"A stored value cannot be read. {error}") from error

    def compressor_of(self, id: int) -> Compressor | None:
        """Return the compressor that a frame names, or raise `Unreadable`."""
        if not id:
            return None
        if self.compressor is not None and id == self.compressor.id:
            return self.compressor
        name = compressors.NAMES.get(id)
        if name is None:
            raise Unreadable(f"No compressor here has the number {id} of this value.")
        try:
            return compressors.make(name, self.config)
        except InvalidSetting as error:
            raise Unreadable(f"A stored value cannot be read. {error}") from error


class Sealer:
    """Seals and opens frames of one kind; safe to share between threads.

    `readers` has, for each first 8 bytes of a frame that were met or are written
    here, the hash state to copy and the function that loads a body. It holds no
    more entries than there are combinations of keys and codecs.
    """

    __slots__ = (
        "_box",
        "_compressor",
        "_kind",
        "_min",
        "_packed",
        "_plain",
        "_scope",
        "limit",
        "readers",
    )

    def __init__(self, box: Toolbox, kind: bytes) -> None:
        config = box.config
        self._box = box
        self._kind = kind
        self._scope = config.scope.encode()
        self._compressor = box.compressor
        self._min = 0
        self.limit = config.max_value_bytes
        self.readers: dict[bytes, Reader] = {}
        for key_id in box.ring:
            self._prepare(key_id, None)
        signing = next(iter(box.ring))
        self._plain = self._packed = self._prepare(signing, None)
        if box.compressor is not None:
            self._min = box.compressor.min_bytes
            if config.compress_min_bytes is not None:
                self._min = config.compress_min_bytes
            self._packed = self._prepare(signing, box.compressor)

    def _prepare(
        self, key_id: bytes, compressor: Compressor | None
    ) -> tuple[bytes, Hasher]:
        """Have a reader ready; return what a writer of the same frames needs."""
        algorithm = ALGORITHMS[self._box.config.algorithm]
        codecs = self._box.serializer.id, compressor.id if compressor else 0
        head = bytes((MARK, algorithm, *key_id, *codecs))
        reader = self.readers[head] = self._make_reader(head)
        return head, reader[0]

    @property
    def plain(self) -> tuple[bytes, Hasher]:
        """The first bytes and the hash state of frames that are not compressed."""
        return self._plain

    def seal(self, name: bytes, body: bytes) -> bytes:
        """Return the frame of a serialized value, compressed if that pays.

        `name` is the key (and the field), each behind its length.
        """
        limit = self.limit
        size = len(body)
        if size > limit:
            raise _too_large_to_write(size, limit)
        head, hasher = self._plain
        if self._compressor is not None and size >= self._min:
            packed = self._compressor.compress(body)
            if len(packed) + _SIZE < size:
                head, hasher = self._packed
                body = size.to_bytes(_SIZE, "big") + packed
        mac = hasher.copy()
        mac.update(name)
        mac.update(body)
        frame = head + mac.digest() + body
        if len(frame) > limit:
            raise _too_large_to_write(len(frame), limit)
        return frame

    def open(self, name: bytes, data: bytes) -> Any:
        """Return the value in a frame, or raise `Tampered` or `Unreadable`."""
        if len(data) > self.limit:
            raise too_large(self.limit)
        head = data[:HEAD]
        # A newcomer is kept only once its seal has proved right.
        hasher, loads = reader = self.readers.get(head) or self._make_reader(head)
        body: Any = data[BODY:] if len(data) < LARGE else memoryview(data)[BODY:]
        mac = hasher.copy()
        mac.update(name)
        mac.update(body)
        if not compare_digest(mac.digest(), data[HEAD:BODY]):
            raise tampered()
        self.readers[head] = reader
        try:
            return loads(body)
        except Unreadable:
            raise
        except Exception as error:
            if is_interrupt(error):
                raise
            raise undecodable(error) from error

    def _make_reader(self, head: bytes) -> Reader:
        if len(head) < HEAD:
            raise Unreadable("A sealed value is cut short.")
        algorithm = ALGORITHM_NAMES.get(head[1])
        if algorithm is None:
            raise Unreadable(
                "A sealed value is of a version or algorithm that this release "
                "does not know.",
                reason="format",
            )
        key = self._box.ring.get(head[KEY_ID])
        if key is None:
            raise Unreadable(
                f"A value was sealed with the key {head[KEY_ID].hex()}, which is not "
                "configured.",
                reason="unknown key",
            )
        serializer = self._box.serializer_of(head[6])
        compressor = self._box.compressor_of(head[7])
        path = compressor.path if compressor else ""
        hasher = key.hasher(algorithm)
        hasher.update(
            head
            + self._kind
            + prefixed(self._scope)
            + prefixed(serializer.path.encode())
            + prefixed(path.encode())
        )
        return hasher, self._loader(serializer, compressor)

    def _loader(
        self, serializer: Serializer, compressor: Compressor | None
    ) -> Callable[[Any], Any]:
        loads, limit = serializer.loads, self.limit
        if compressor is None:
            if serializer.takes_views:
                return loads
            return lambda body: loads(bytes(body))
        inflating = compressor.inflate

        def inflate_and_load(body: Any) -> Any:
            size = int.from_bytes(body[:_SIZE], "big")
            if size > limit:
                raise too_large(limit)
            try:
                plain = inflating(body[_SIZE:], size)
            except inflate.Overflow as error:
                raise inflate.Broken from error
            if len(plain) != size:
                raise inflate.Broken
            return loads(plain)

        return inflate_and_load


def tampered() -> Tampered:
    return Tampered(
        "A stored value does not carry our seal for this key: it was changed, moved "
        "from another key, or written with another SCOPE or KEY_PREFIX."
    )


def too_large(limit: int) -> Unreadable:
    return Unreadable(
        f"A stored value is larger than MAX_VALUE_BYTES ({limit}).",
        reason="too large",
    )


def undecodable(error: Exception) -> Unreadable:
    return Unreadable(
        "A stored value carries our seal but cannot be decoded: "
        f"{type(error).__name__}. Did a class move or change?"
    )


def _too_large_to_write(size: int, limit: int) -> TooLarge:
    return TooLarge(f"The value takes {size} bytes; MAX_VALUE_BYTES is {limit}.")
