"""Compressors: used where they pay, named in the frame, bounded when they inflate."""

from __future__ import annotations

import gzip
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpony.codec import CodecConfig, compressors, inflate
from redpony.codec.seal import BODY
from redpony.codec.sealed import Sealer, Toolbox
from redpony.errors import InvalidSetting, TooLarge
from tests.codec import bombs
from tests.codec.making import (
    KEY,
    LIBRARY_COMPRESSORS,
    SECRET,
    SMALL,
    codec,
    legacy,
    refusal,
)
from tests.codec.test_serializers import forget

TEXT = "departures by country " * 100


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_values_shrink_and_come_back(name: str) -> None:
    ours = codec(compressor=name)
    data = ours.encode(KEY, TEXT)
    assert len(data) < len(TEXT) / 5
    assert data[7] == compressors.IDS[name]
    assert ours.decode(KEY, data) == TEXT
    assert data == ours.encode(KEY, TEXT)


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
@settings(deadline=None, max_examples=60)
@given(value=st.binary() | st.builds(lambda n: b"x" * n, st.integers(0, 600_000)))
def test_any_bytes_come_back(name: str, value: bytes) -> None:
    ours = codec(compressor=name, compress_min_bytes=0)
    assert ours.decode(KEY, ours.encode(KEY, value)) == value


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_megabytes_come_back(name: str) -> None:
    value = random.Random(5).randbytes(700_000) + bytes(900_000)
    ours = codec(compressor=name)
    data = ours.encode(KEY, value)
    assert data[7]
    assert ours.decode(KEY, data) == value


def test_a_frame_names_its_compressor_so_that_any_codec_reads_it() -> None:
    for written in LIBRARY_COMPRESSORS:
        data = codec(compressor=written).encode(KEY, TEXT)
        for other in ("none", *LIBRARY_COMPRESSORS):
            assert codec(compressor=other, compress_level=1).decode(KEY, data) == TEXT


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_what_does_not_shrink_is_stored_as_it_is(name: str) -> None:
    value = random.Random(5).randbytes(1000)
    data = codec(compressor=name).encode(KEY, value)
    assert data == codec().encode(KEY, value)


def test_small_values_are_not_compressed() -> None:
    def compressed(size: int, **changes: Any) -> bool:
        ours = codec(compressor="zlib", serializer="json", **changes)
        return bool(ours.encode(KEY, "x" * (size - 2))[7])

    assert [compressed(size) for size in (255, 256)] == [False, True]
    assert [compressed(n, compress_min_bytes=500) for n in (499, 500)] == [False, True]


def test_a_level_is_honoured_and_checked() -> None:
    words = [f"{number:x}" for number in range(3000, 9000, 7)]
    value = " ".join(random.Random(5).choices(words, k=30_000))
    for name in LIBRARY_COMPRESSORS:
        low, high = (
            len(codec(compressor=name, compress_level=level).encode(KEY, value))
            for level in (1, 9)
        )
        assert high < low
        with pytest.raises(InvalidSetting, match=f"COMPRESS_LEVEL is 99; {name}"):
            codec(compressor=name, compress_level=99)


def test_users_classes_are_used() -> None:
    ours = codec(compressor="tests.codec.extensions.Bz2")
    data = ours.encode(KEY, TEXT)
    assert data[7] >= 0x80
    assert data[32:].startswith(b"BZh")
    assert ours.decode(KEY, data) == TEXT
    assert refusal(codec(), data) == "undecodable"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("zlip", "COMPRESSOR 'zlip' is unknown. Use one of none, zlib"),
        ("no.such.thing", "COMPRESSOR 'no.such.thing' cannot be imported"),
        ("tests.codec.extensions.Raw", "has no method 'compress'"),
    ],
)
def test_an_unusable_compressor_is_named_with_the_remedy(
    path: str, message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        codec(compressor=path)


@pytest.mark.parametrize("name", ["zstd", "lz4", "brotli"])
def test_a_missing_library_is_named_with_the_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec(compressor=name).encode(KEY, TEXT)
    old = legacy("django_redis", compressor=name).encode(KEY, TEXT)
    forget(monkeypatch, compressors, "lz4", "backports", "compression", "brotli")
    with pytest.raises(InvalidSetting, match=rf'{name}.*pip install "redpony\[{name}'):
        codec(compressor=name)
    assert refusal(codec(), data) == "undecodable"
    assert refusal(legacy("django_redis"), old) == "undecodable"


def test_a_brotli_that_cannot_stop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        class Decompressor:
            pass

    monkeypatch.setattr(compressors, "import_module", lambda name: Old)
    with pytest.raises(InvalidSetting, match=r"brotli 1\.2"):
        codec(compressor="brotli")


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_a_stream_inflates_to_the_limit_and_not_a_byte_further(name: str) -> None:
    tool = compressors.make(name, CodecConfig())
    for size in (1, 5000, 262_144, 600_000):
        packed = tool.compress(b"x" * size)
        assert tool.inflate(packed, size) == b"x" * size
        assert tool.inflate(memoryview(packed), size + 9) == b"x" * size
        with pytest.raises(inflate.Overflow):
            tool.inflate(packed, size - 1)


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_a_stream_that_ends_early_or_goes_on_is_broken(name: str) -> None:
    tool = compressors.make(name, CodecConfig())
    packed = tool.compress(random.Random(5).randbytes(300))
    for length in range(len(packed)):
        with pytest.raises(Exception) as caught:
            tool.inflate(packed[:length], 1000)
        assert not isinstance(caught.value, inflate.Overflow)
    with pytest.raises(Exception) as caught:
        tool.inflate(packed + b"more", 1000)
    assert not isinstance(caught.value, inflate.Overflow)


def frame(compressor: str, size: int, packed: bytes) -> bytes:
    """Seal a compressed body that says what we like: somebody has our key."""
    sealer = Sealer(
        Toolbox(CodecConfig(seal_keys=(SECRET,), compressor=compressor)), b"v"
    )
    head, hasher = sealer._packed
    mac, body = hasher.copy(), size.to_bytes(8, "big") + packed
    mac.update(len(KEY).to_bytes(4, "big") + KEY.encode() + body)
    return head + mac.digest() + body


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_a_frame_whose_size_is_not_true_is_refused(name: str) -> None:
    ours = codec(compressor=name, max_value_bytes=5000)
    body = pickle.dumps("x" * 999)
    packed = compressors.make(name, CodecConfig()).compress(body)
    assert ours.decode(KEY, frame(name, len(body), packed)) == "x" * 999
    for size in (0, 1, len(body) - 1, len(body) + 1):
        assert refusal(ours, frame(name, size, packed)) == "undecodable"
    assert refusal(ours, frame(name, 5001, packed)) == "too large"
    assert refusal(ours, frame(name, 2**63, packed)) == "too large"
    assert refusal(ours, frame(name, len(body), packed)[: BODY + 8]) == "tampered"


def test_what_inflates_past_the_limit_of_another_process_is_too_large() -> None:
    data = codec(compressor="zlib").encode(KEY, TEXT)
    assert refusal(codec(max_value_bytes=500), data) == "too large"


def test_a_compressed_legacy_value_is_checked_once_more() -> None:
    value = random.Random(5).randbytes(990)
    ours = legacy("django_redis", compressor="zlib", max_value_bytes=1010)
    with pytest.raises(TooLarge):
        ours.encode(KEY, value)


@pytest.mark.parametrize("name", LIBRARY_COMPRESSORS)
def test_bombs_do_not_fill_the_memory(name: str, tmp_path: Path) -> None:
    # 256 MiB of zeros against a limit of 4 MiB, in a process of its own, whose
    # largest resident size is the witness.
    path = tmp_path / "bomb"
    path.write_bytes(bombs.make(name))
    program = f"from tests.codec import bombs; bombs.meet({name!r}, {str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    grown, reasons = done.stdout.split(maxsplit=1)
    assert reasons.split("\n")[:3] == ["too large", "undecodable", "too large"]
    assert int(grown) < 40 * 1024, f"{grown} KiB more for a limit of 4 MiB"


class Interrupted:
    """A zstd module whose compressors are interrupted once, halfway."""

    interruptions = 1

    def __init__(self, level: int = 3) -> None:
        self._stream = compressors.zstd_library().ZstdCompressor(level=level)
        self.FLUSH_FRAME = self._stream.FLUSH_FRAME

    ZstdCompressor: Any

    def compress(self, data: bytes, mode: Any) -> Any:
        if Interrupted.interruptions:
            Interrupted.interruptions -= 1
            self._stream.compress(data[:100])
            raise KeyboardInterrupt
        return self._stream.compress(data, mode)


Interrupted.ZstdCompressor = Interrupted


def test_an_interrupted_compression_leaves_no_half_frame_behind() -> None:
    tool = compressors._Zstd(Interrupted, 3)
    with pytest.raises(KeyboardInterrupt):
        tool.compress(b"a" * 999)
    packed = tool.compress(b"b" * 999)
    assert compressors.zstd_library().decompress(packed) == b"b" * 999


def test_zstd_reads_what_pyzstd_and_streaming_writers_make() -> None:
    zstd = compressors.zstd_library()
    stream = zstd.ZstdCompressor(level=19)
    body = pickle.dumps(SMALL)
    packed = stream.compress(body) + stream.flush()
    assert legacy("django_redis").decode(KEY, packed) == SMALL


def test_gzip_and_lz4_of_other_settings_are_read() -> None:
    body = pickle.dumps(SMALL)
    ours = legacy("django_redis")
    assert ours.decode(KEY, gzip.compress(body, 1)) == SMALL
    packed = lz4.frame.compress(body, store_size=False, content_checksum=True)
    assert ours.decode(KEY, packed) == SMALL
