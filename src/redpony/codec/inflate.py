"""Decompression that stops: no function here returns more than `limit` bytes.

Nor does one use much more memory than that: each library is asked for at most
`limit` bytes and one more, and the windows that a stream may demand are bounded.
A stream that would go on raises `Overflow`; one that ends early, or before its
input does, raises `Broken`; libraries' own errors pass through.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from typing import Any

Inflate = Callable[[Any, int], bytes]

# Preset 9, the largest that lzma's tools write, needs 65 MiB to be read.
_LZMA_MEMORY = 100 * 1024 * 1024

# lz4 and brotli grow their output at once to what they are asked for, so that
# they are asked for pieces.
_PIECE = 256 * 1024


class Overflow(Exception):
    """The data inflates past the limit."""


class Broken(Exception):
    """The stream does not end where its data ends."""


def zlib_stream(data: Any, limit: int) -> bytes:
    """Inflate what `zlib.compress` made."""
    return _whole(zlib.decompressobj(), data, limit)


def gzip_member(data: Any, limit: int) -> bytes:
    """Inflate one gzip member."""
    return _whole(zlib.decompressobj(wbits=31), data, limit)


def xz_stream(data: Any, limit: int) -> bytes:
    """Inflate one xz stream."""
    return _whole(
        lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY), data, limit
    )


def zstd_frame(zstd: Any) -> Inflate:
    """Return the function that inflates one frame with this zstd module."""
    make = zstd.ZstdDecompressor

    def inflate(data: Any, limit: int) -> bytes:
        return _whole(make(), data, limit)

    return inflate


def lz4_frame(lz4: Any) -> Inflate:
    """Return the function that inflates one frame with this lz4.frame module."""
    make = lz4.LZ4FrameDecompressor

    def inflate(data: Any, limit: int) -> bytes:
        stream = make()
        pieces: list[bytes] = []
        total = 0
        piece = stream.decompress(data, max_length=min(limit + 1, _PIECE))
        while piece or not (stream.eof or stream.needs_input):
            pieces.append(piece)
            total += len(piece)
            if total > limit:
                raise Overflow
            if stream.eof or stream.needs_input:
                break
            piece = stream.decompress(b"", max_length=min(limit + 1 - total, _PIECE))
        if not stream.eof or stream.unused_data:
            raise Broken
        return b"".join(pieces)

    return inflate


def brotli_stream(brotli: Any) -> Inflate:
    """Return the function that inflates one stream with this brotli module."""
    make = brotli.Decompressor

    def inflate(data: Any, limit: int) -> bytes:
        stream = make()
        pieces: list[bytes] = []
        total = 0
        piece = stream.process(bytes(data), output_buffer_limit=_PIECE)
        while True:
            pieces.append(piece)
            total += len(piece)
            if total > limit:
                raise Overflow
            if stream.is_finished():
                return b"".join(pieces)
            if not piece:
                raise Broken
            piece = stream.process(b"", output_buffer_limit=_PIECE)

    return inflate


def unbounded(decompress: Callable[[bytes], bytes]) -> Inflate:
    """Return a bounded shape for a user's class; its result is measured after."""

    def inflate(data: Any, limit: int) -> bytes:
        result = decompress(bytes(data))
        if len(result) > limit:
            raise Overflow
        return result

    return inflate


def _whole(stream: Any, data: Any, limit: int) -> bytes:
    result: bytes = stream.decompress(data, limit + 1)
    if len(result) > limit:
        raise Overflow
    if not stream.eof or stream.unused_data:
        raise Broken
    return result
