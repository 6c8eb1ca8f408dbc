"""Compressors: zlib, gzip, lzma, zstd, lz4, brotli, or a user's class.

A compressor's id is written into every sealed frame and never changes. Defaults
of level are django-redis', so that the same bytes come out in its format.
Libraries are imported when a codec is made; a missing one is named with its
remedy.
"""

from __future__ import annotations

import lzma
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from redpony.codec import extension, inflate
from redpony.codec.config import CodecConfig
from redpony.errors import InvalidSetting

SETTING = "COMPRESSOR"
KNOWN = "none, zlib, gzip, lzma, zstd, lz4, brotli"
IDS = {"none": 0, "zlib": 1, "gzip": 2, "lzma": 3, "zstd": 4, "lz4": 5, "brotli": 6}
NAMES = {number: name for name, number in IDS.items()}

# Smaller values gain too little for the time that it takes.
_MIN_BYTES = 256

Compress = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Compressor:
    """`compress` and `inflate`, from which size on, and how a frame names them.

    `legacy_min_bytes` is django-redis' threshold. `path` is empty for ours.
    """

    name: str
    id: int
    compress: Compress
    inflate: inflate.Inflate
    min_bytes: int = _MIN_BYTES
    legacy_min_bytes: int = 16
    path: str = ""


def make(name: str, config: CodecConfig, level: int | None = None) -> Compressor:
    """Return the compressor of this name or dotted path."""
    if name not in _LEVELS:
        return _custom(name, config)
    lowest, highest, default = _LEVELS[name]
    if level is None:
        level = default
    elif not lowest <= level <= highest:
        raise InvalidSetting(
            f"COMPRESS_LEVEL is {level}; {name} has levels {lowest} to {highest}."
        )
    if name == "zlib":
        compress: Compress = partial(zlib.compress, level=level)
        return _ours(name, compress, inflate.zlib_stream)
    if name == "gzip":
        # `gzip.compress` has the time in its header, and a member of a set would be
        # another one a second later.
        compress = partial(zlib.compress, level=level, wbits=31)
        return _ours(name, compress, inflate.gzip_member)
    if name == "lzma":
        compress = partial(lzma.compress, preset=level)
        return _ours(name, compress, inflate.xz_stream, legacy_min_bytes=101)
    if name == "zstd":
        zstd = zstd_library()
        return _ours(name, _Zstd(zstd, level).compress, inflate.zstd_frame(zstd))
    if name == "lz4":
        lz4 = _library("lz4.frame", name)
        compress = partial(lz4.compress, compression_level=level)
        return _ours(name, compress, inflate.lz4_frame(lz4))
    brotli = _library("brotli", name)
    if not hasattr(brotli.Decompressor, "can_accept_more_data"):
        raise InvalidSetting(
            "COMPRESSOR 'brotli' needs brotli 1.2 or later, the first that can stop "
            'decompressing at a bound: pip install -U "redpony[brotli]"'
        )
    compress = partial(brotli.compress, quality=level)
    return _ours(name, compress, inflate.brotli_stream(brotli))


# lowest, highest, default
_LEVELS: Mapping[str, tuple[int, int, int]] = {
    "zlib": (0, 9, 6),
    "gzip": (0, 9, 9),
    "lzma": (0, 9, 4),
    "zstd": (-7, 22, 3),
    "lz4": (-65536, 16, 0),
    "brotli": (0, 11, 4),
}


def _ours(
    name: str,
    compress: Compress,
    inflating: inflate.Inflate,
    legacy_min_bytes: int = 16,
) -> Compressor:
    return Compressor(
        name, IDS[name], compress, inflating, legacy_min_bytes=legacy_min_bytes
    )


class _Zstd:
    """zstd with one context per thread: making one costs more than using it."""

    __slots__ = ("_level", "_local", "_module")

    def __init__(self, module: Any, level: int) -> None:
        self._module = module
        self._level = level
        self._local = threading.local()

    def compress(self, data: bytes) -> bytes:
        local = self._local
        try:
            context = local.context
        except AttributeError:
            context = local.context = self._module.ZstdCompressor(level=self._level)
        try:
            result: bytes = context.compress(data, context.FLUSH_FRAME)
        except BaseException:
            # It may hold half a frame.
            del local.context
            raise
        return result


def zstd_library() -> Any:
    """Return the standard library's zstd, or its backport."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return _library("backports.zstd", "zstd")


def _library(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidSetting(
            f"COMPRESSOR {name!r} needs a library that is not installed: "
            f'pip install "redpony[{name}]"'
        ) from error


def _custom(path: str, config: CodecConfig) -> Compressor:
    found = extension.load(path, config.options, SETTING, KNOWN)
    extension.require(found, ("compress", "decompress"), SETTING, path)
    return Compressor(
        path,
        extension.identify(path),
        found.compress,
        inflate.unbounded(found.decompress),
        min_bytes=_MIN_BYTES,
        legacy_min_bytes=0,
        path=path,
    )
