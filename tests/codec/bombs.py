"""Little data that inflates to much, and a process that meets it.

`meet` prints how far the process' largest resident size grew, in KiB, and why
each of three values was refused: the bomb as a legacy value, in a sealed frame
that lies about its size, and in one that does not.
"""

from __future__ import annotations

import lzma
import resource
import zlib
from pathlib import Path
from typing import Any

import brotli
import lz4.frame

from redpony.codec.compressors import zstd_library

SIZE = 256 * 1024 * 1024
LIMIT = 4 * 1024 * 1024
PIECE = bytes(1024 * 1024)


def make(name: str) -> bytes:
    """Return SIZE zeros, compressed; with little memory, and in little time."""
    makers: dict[str, Any] = {
        "zlib": lambda: zlib.compressobj(1),
        "gzip": lambda: zlib.compressobj(1, wbits=31),
        "lzma": lambda: lzma.LZMACompressor(preset=0),
        "zstd": lambda: zstd_library().ZstdCompressor(level=1),
        "lz4": _Lz4,
        "brotli": _Brotli,
    }
    stream = makers[name]()
    pieces = [stream.compress(PIECE) for _ in range(SIZE // len(PIECE))]
    return b"".join(pieces) + stream.flush()


class _Lz4(lz4.frame.LZ4FrameCompressor):
    def __init__(self) -> None:
        super().__init__()
        self._started = False

    def compress(self, data: bytes) -> bytes:
        head = b"" if self._started else self.begin()
        self._started = True
        return head + super().compress(data)


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Compressor(quality=2)

    def compress(self, data: bytes) -> bytes:
        return self._stream.process(data)

    def flush(self) -> bytes:
        return self._stream.finish()


def meet(name: str, path: str) -> None:
    from tests.codec.making import codec, legacy, refusal
    from tests.codec.test_compressors import frame

    bomb = Path(path).read_bytes()
    assert len(bomb) < LIMIT
    old = legacy("django_redis", compressor=name, max_value_bytes=LIMIT)
    ours = codec(compressor=name, max_value_bytes=LIMIT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reasons = [
        refusal(old, bomb),
        refusal(ours, frame(name, 1000, bomb)),
        refusal(ours, frame(name, SIZE, bomb)),
    ]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(after - before, *reasons, sep="\n")
