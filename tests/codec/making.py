"""Codecs for tests: sealed with one fixed key unless a test says otherwise."""

from __future__ import annotations

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from redpony.codec import Codec, CodecConfig
from redpony.errors import RedponyError, Tampered, Unreadable

SECRET = b"a secret for tests only"
KEY = "user:12345"
SMALL = {"id": 1, "name": "alice", "ok": True}
LIBRARY_SERIALIZERS = ("pickle", "json", "msgpack", "msgspec_json", "msgspec_msgpack")
LIBRARY_COMPRESSORS = ("zlib", "gzip", "lzma", "zstd", "lz4", "brotli")


def codec(**changes: Any) -> Codec:
    """Return a codec of the default configuration with these changes."""
    changes.setdefault("seal_keys", (SECRET,))
    changes.setdefault("json_encoder", DjangoJSONEncoder)
    return Codec(CodecConfig(**changes))


def legacy(format: str, **changes: Any) -> Codec:
    """Return a codec that writes and accepts this legacy format only."""
    return codec(format=format, read_formats=(format,), seal_keys=(), **changes)


def refusal(codec: Codec, data: bytes, key: str = KEY) -> str:
    """Return why `data` is refused; fail if it is not."""
    try:
        value = codec.decode(key, data)
    except (Tampered, Unreadable) as error:
        assert isinstance(error, RedponyError)
        return error.reason
    raise AssertionError(f"{data[:60]!r} was accepted and gave {value!r}"[:200])
