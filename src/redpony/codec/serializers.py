"""Values to bytes and back: pickle, json, msgpack, msgspec, or a user's class.

A serializer's id is written into every sealed frame and never changes. Libraries
are imported when a codec is made, and a missing one is named with its remedy.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from redpony.codec import extension
from redpony.codec.config import CodecConfig
from redpony.errors import InvalidSetting, NotSerializable

SETTING = "SERIALIZER"
KNOWN = "pickle, json, msgpack, msgspec_json, msgspec_msgpack"
IDS = {"pickle": 1, "json": 2, "msgpack": 3, "msgspec_json": 4, "msgspec_msgpack": 5}
NAMES = {number: name for name, number in IDS.items()}


@dataclass(frozen=True, slots=True)
class Serializer:
    """`dumps` and `loads`, and how a frame names them.

    `path` is empty for those of ours. `takes_views`: `loads` reads a memoryview,
    so that a large body need not be copied.
    """

    name: str
    id: int
    dumps: Callable[[Any], bytes]
    loads: Callable[[Any], Any]
    path: str = ""
    takes_views: bool = True


# The texts of CPython and of the libraries that name a type and nothing else.
_NAMED_TYPE = re.compile(
    r"^(?:cannot pickle '?([\w.]+)'? (?:object|instances)"
    r"|Object of type (\w+) is not JSON serializable"
    r"|can ?not serialize '([\w.]+)' object"
    r"|Encoding objects of type ([\w.]+) is unsupported)"
)


class NotPicklable(NotSerializable, pickle.PicklingError):
    """A value that pickle refuses; callers may catch pickle's own error."""


def make(name: str, config: CodecConfig, default_protocol: int = 5) -> Serializer:
    """Return the serializer of this name or dotted path."""
    if name == "pickle":
        return _pickle(config.pickle_protocol, default_protocol)
    maker = _MAKERS.get(name)
    if maker is not None:
        return maker(config)
    return _custom(name, config)


def _pickle(protocol: int | None, default: int) -> Serializer:
    if protocol is None:
        protocol = default
    if not -1 <= protocol <= pickle.HIGHEST_PROTOCOL:
        raise InvalidSetting(
            f"PICKLE_VERSION is {protocol}; this Python has protocols "
            f"0 to {pickle.HIGHEST_PROTOCOL}, and -1 for the highest."
        )
    dumps: Callable[[Any], bytes] = partial(pickle.dumps, protocol=protocol)
    return Serializer("pickle", IDS["pickle"], dumps, pickle.loads)


def _json(config: CodecConfig) -> Serializer:
    encode = (config.json_encoder or json.JSONEncoder)().encode

    def dumps(value: Any) -> bytes:
        return encode(value).encode()

    def loads(data: Any) -> Any:
        return json.loads(str(data, "utf-8"))

    return Serializer("json", IDS["json"], dumps, loads)


def _msgpack(_: CodecConfig) -> Serializer:
    msgpack = _library("msgpack", "msgpack", "msgpack")
    loads = partial(msgpack.unpackb, raw=False, strict_map_key=False)
    return Serializer("msgpack", IDS["msgpack"], msgpack.packb, loads)


def _msgspec_json(_: CodecConfig) -> Serializer:
    msgspec = _library("msgspec.json", "msgspec_json", "msgspec")
    dumps, loads = msgspec.Encoder().encode, msgspec.Decoder().decode
    return Serializer("msgspec_json", IDS["msgspec_json"], dumps, loads)


def _msgspec_msgpack(_: CodecConfig) -> Serializer:
    msgspec = _library("msgspec.msgpack", "msgspec_msgpack", "msgspec")
    dumps, loads = msgspec.Encoder().encode, msgspec.Decoder().decode
    return Serializer("msgspec_msgpack", IDS["msgspec_msgpack"], dumps, loads)


_MAKERS: dict[str, Callable[[CodecConfig], Serializer]] = {
    "json": _json,
    "msgpack": _msgpack,
    "msgspec_json": _msgspec_json,
    "msgspec_msgpack": _msgspec_msgpack,
}


def _custom(path: str, config: CodecConfig) -> Serializer:
    found = extension.load(path, config.options, SETTING, KNOWN)
    extension.require(found, ("dumps", "loads"), SETTING, path)
    dumps = found.dumps

    def to_bytes(value: Any) -> bytes:
        data = dumps(value)
        if type(data) is bytes:
            return data
        if type(data) is str:
            return data.encode()
        if type(data) is int:
            # Classes written for Django's own backend hand integers through.
            return b"%d" % data
        if isinstance(data, (bytes, bytearray, memoryview)):
            return bytes(data)
        raise TypeError(f"dumps of {path} returned {type(data).__name__}, not bytes")

    identity = extension.identify(path)
    return Serializer(path, identity, to_bytes, found.loads, path, takes_views=False)


def _library(module: str, name: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidSetting(
            f"SERIALIZER {name!r} needs a library that is not installed: "
            f'pip install "redpony[{extra}]"'
        ) from error


def refusal(serializer: Serializer, value: object, error: Exception) -> NotSerializable:
    """Return the error for a value that `dumps` refused; it never shows the value."""
    kind = type(value)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    message = (
        f"A value of type {name} cannot be stored by the serializer "
        f"{serializer.name!r}: {type(error).__name__}"
    )
    inner = _NAMED_TYPE.match(str(error))
    if inner is not None:
        message += f" at an object of type {inner.group(inner.lastindex or 0)}"
    if serializer.name == "pickle":
        return NotPicklable(message)
    return NotSerializable(message)
