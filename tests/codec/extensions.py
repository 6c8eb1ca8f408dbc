"""Serializers and compressors as users write them."""

from __future__ import annotations

import bz2
import json
from typing import Any


class Raw:
    """Stores bytes as they are."""

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, data: bytes) -> bytes:
        assert type(data) is bytes
        return data


class Optioned:
    """Wants OPTIONS, as django-redis' base class does."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.indent = options["INDENT"]

    def dumps(self, value: Any) -> str:
        return json.dumps(value, indent=self.indent)

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class Ints:
    """Hands integers through, as classes for Django's own backend may."""

    def dumps(self, value: Any) -> Any:
        return value if type(value) is int else b"\x01" + json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return ["int", data] if data[:1] != b"\x01" else json.loads(data[1:])


class Wrong:
    """Returns no bytes."""

    def dumps(self, value: Any) -> Any:
        return [value]

    def loads(self, data: bytes) -> Any:
        return data


class Bz2:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def compress(self, data: bytes) -> bytes:
        return bz2.compress(data)

    def decompress(self, data: bytes) -> bytes:
        assert type(data) is bytes
        return bz2.decompress(data)


instance = Raw()
no_methods = object()
