"""What a codec needs to know, resolved once, immutable and comparable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """How one alias turns values into bytes and back.

    `format` is what is written: "sealed", "django_redis" or "django". It is
    accepted on reading too, besides those in `read_formats`. `serializer` and
    `compressor` are names of ours or dotted paths of users' classes. None means
    the default of the format or of the compressor. `seal_keys`: the first signs,
    all verify. `scope` is sealed into every value (the alias' KEY_PREFIX, unless
    set). `options` is handed to users' classes: `cls(options=options)`.
    """

    format: str = "sealed"
    read_formats: tuple[str, ...] = ("sealed",)
    serializer: str = "pickle"
    pickle_protocol: int | None = None
    compressor: str = "none"
    compress_min_bytes: int | None = None
    compress_level: int | None = None
    max_value_bytes: int = 64 * 1024 * 1024
    seal_keys: tuple[bytes, ...] = field(default=(), repr=False)
    algorithm: str = "blake2b"
    scope: str = ""
    options: Mapping[str, Any] = field(
        default_factory=dict[str, Any], repr=False, hash=False
    )
    json_encoder: type[json.JSONEncoder] | None = None
