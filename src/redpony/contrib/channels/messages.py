"""Messages as bytes, and a message that many consumers get a copy of each.

Nothing executes when a message is read: msgpack, or JSON with byte strings boxed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Final

from django.utils.module_loading import import_string

from redpony.contrib.channels.options import refuse

Pack = Callable[[dict[str, Any]], bytes]
Unpack = Callable[[bytes], dict[str, Any]]
Crypt = Callable[[bytes], bytes]

_PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})
_BOX: Final = "\uffff"
"""What text begins with in JSON that stands for bytes, or for itself."""


def serializer(name: str | None) -> tuple[Pack, Unpack]:
    """Return the two functions of a format: "msgpack", "json", or a class by its path.

    Without a name: msgpack where it is installed, and JSON elsewhere.
    """
    if name is None:
        name = "msgpack" if find_spec("msgpack") else "json"
    if name == "json":
        return _to_json, _from_json
    if name == "msgpack":
        try:
            import msgpack
        except ImportError:
            refuse(
                "serializer_format",
                'needs the package msgpack: pip install "redpony[msgpack]"',
            )
        # Typed by halves, or not at all.
        library: Any = msgpack
        return library.packb, library.unpackb
    if "." not in name:
        refuse(
            "serializer_format",
            'takes "msgpack", "json", or the dotted path of a class with serialize() '
            f"and deserialize(). It is {name!r}.",
        )
    made: Any = import_string(name)()
    return made.serialize, made.deserialize


def crypter(keys: Sequence[str | bytes] | None) -> tuple[Crypt | None, Crypt | None]:
    """Return how messages are encrypted and decrypted, as channels_redis does it.

    The first key encrypts; each of them decrypts.
    """
    if not keys:
        return None, None
    if isinstance(keys, str | bytes):
        refuse("symmetric_encryption_keys", "takes a list of keys, even if it is one.")
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ImportError:
        refuse(
            "symmetric_encryption_keys",
            "needs the package cryptography: pip install cryptography",
        )
    words = [each.encode() if isinstance(each, str) else each for each in keys]
    fernets = [
        Fernet(base64.urlsafe_b64encode(hashlib.sha256(word).digest()))
        for word in words
    ]
    all_of_them = MultiFernet(fernets)
    return all_of_them.encrypt, all_of_them.decrypt


class Format:
    """How a layer's messages are written and read."""

    def __init__(self, name: str | None, keys: Sequence[str | bytes] | None) -> None:
        self._pack, self._unpack = serializer(name)
        self._encrypt, self._decrypt = crypter(keys)

    def write(self, message: dict[str, Any]) -> bytes:
        body = self._pack(message)
        return body if self._encrypt is None else self._encrypt(body)

    def read(self, body: bytes) -> dict[str, Any]:
        if self._decrypt is not None:
            body = self._decrypt(body)
        return self._unpack(body)


class Message:
    """A message in this process, for one consumer or for many.

    It is read when the first one takes it. One that holds nothing but text, bytes and
    numbers is copied for the others; else each has its own read.
    """

    __slots__ = ("_body", "_is_plain", "_kept", "_read", "expires", "number", "origin")

    def __init__(
        self,
        body: bytes,
        read: Unpack,
        expires: float,
        number: int = 0,
        origin: Any = None,
    ) -> None:
        self.expires = expires
        """By this process' monotonic clock."""
        self.number = number
        """Its place among the messages of a server."""
        self.origin = origin
        """What has to be told that it was received."""
        self._body = body
        self._read = read
        self._kept: dict[str, Any] | None = None
        self._is_plain = True

    def take(self) -> dict[str, Any]:
        """Return a dict that is the caller's own."""
        kept = self._kept
        if kept is not None:
            return kept.copy()
        found = self._read(self._body)
        if self._is_plain:
            if all(type(each) in _PLAIN for each in found.values()):
                self._kept = found
                return found.copy()
            self._is_plain = False
        return found


def _to_json(message: dict[str, Any]) -> bytes:
    return json.dumps(_boxed(message), separators=(",", ":")).encode()


def _from_json(body: bytes) -> Any:
    found = json.loads(body)
    return _unboxed(found) if b"\\uffff" in body else found


def _boxed(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{_BOX}b{base64.b64encode(value).decode()}"
    if isinstance(value, str):
        return f"{_BOX}s{value}" if value.startswith(_BOX) else value
    if isinstance(value, dict):
        return {name: _boxed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_boxed(each) for each in value]
    return value


def _unboxed(value: Any) -> Any:
    if isinstance(value, str):
        if not value.startswith(_BOX):
            return value
        return base64.b64decode(value[2:]) if value[1] == "b" else value[2:]
    if isinstance(value, dict):
        return {name: _unboxed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_unboxed(each) for each in value]
    return value
