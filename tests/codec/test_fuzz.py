"""Whatever lies on the server, decoding gives a value or one of two errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpony.codec import Codec
from redpony.errors import Tampered, Unreadable
from tests.codec.making import (
    KEY,
    LIBRARY_COMPRESSORS,
    LIBRARY_SERIALIZERS,
    SMALL,
    codec,
    legacy,
)

SEALED = codec()
HEADS = [codec(compressor=name).encode(KEY, "x" * 999)[:8] for name in ("none", "zstd")]
# Random bytes are not handed to pickle: a few of them can ask for gigabytes.
LEGACY = [
    *(legacy("django_redis", serializer=name) for name in LIBRARY_SERIALIZERS[1:]),
    *(
        legacy("django_redis", serializer="json", compressor=name)
        for name in LIBRARY_COMPRESSORS
    ),
    codec(read_formats=("sealed", "django_redis"), serializer="msgpack"),
]
MAGIC = [b"", b"\x1f\x8b\x08", b"\x78\x9c", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd",
         b"\x04\x22\x4d\x18", b"\xc1\x11", b"-", b"9", b'{"']  # fmt: skip


def attempt(ours: Codec, data: bytes) -> None:
    for decode in (
        lambda: ours.decode(KEY, data),
        lambda: ours.decode_field(KEY, "field", data),
        lambda: ours.decode_member(data),
        lambda: ours.decode_many([KEY], [data]),
    ):
        try:
            decode()
        except (Tampered, Unreadable) as error:
            assert error.reason


@settings(deadline=None, max_examples=500)
@given(st.sampled_from([*HEADS, b"", b"\xc1"]), st.binary(max_size=200))
def test_arbitrary_bytes_are_no_sealed_value(head: bytes, tail: bytes) -> None:
    attempt(SEALED, head + tail)
    if head + tail not in {b"%d" % n for n in range(10)}:
        found, refused = SEALED.decode_many([KEY], [head + tail])
        assert len(found) + len(refused) == 1
        assert all(type(value) is int for value in found.values())


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(MAGIC), st.binary(max_size=120), st.sampled_from(LEGACY))
def test_arbitrary_bytes_in_legacy_formats(
    magic: bytes, tail: bytes, ours: Codec
) -> None:
    attempt(ours, magic + tail)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(LIBRARY_SERIALIZERS),
    st.sampled_from(["none", *LIBRARY_COMPRESSORS]),
    st.data(),
)
def test_sealed_values_with_any_bytes_replaced_are_refused(
    serializer: str, compressor: str, draw: st.DataObject
) -> None:
    ours = codec(serializer=serializer, compressor=compressor, compress_min_bytes=0)
    data = ours.encode(KEY, {"text": "departures " * 9, **SMALL})
    # From 1 on: a value replaced by an integer as a whole is an integer.
    start = draw.draw(st.integers(1, len(data) - 1))
    end = draw.draw(st.integers(start, len(data)))
    changed = data[:start] + draw.draw(st.binary(max_size=40)) + data[end:]
    if changed != data:
        with pytest.raises((Tampered, Unreadable)):
            ours.decode(KEY, changed)


@pytest.mark.parametrize("name", LIBRARY_SERIALIZERS)
def test_a_body_that_the_serializer_did_not_write_is_undecodable(name: str) -> None:
    # Somebody with our key, or a release with a fault, sealed something else.
    ours = codec(serializer=name)
    head, hasher = ours._values.plain
    for body in (b"", b"\xd9", b"\xc1", b"[" * 100_000, b"\x91" * 100_000):
        mac = hasher.copy()
        mac.update(len(KEY).to_bytes(4, "big") + KEY.encode() + body)
        with pytest.raises(Unreadable) as caught:
            ours.decode(KEY, head + mac.digest() + body)
        assert caught.value.reason == "undecodable"
