"""The seal: why a value that lies in Redis can be unpickled at all.

Redis keeps bytes for whoever can reach it. A neighbour on the same server, a
leaked password or a restored dump can put any bytes under any key, and
unpickling bytes of unknown origin runs whatever they say. So a sealed value
proves who wrote it, and where it belongs, before anything looks inside.

The frame, in bytes:

    0       0xC1, which begins no pickle, JSON or other UTF-8 text, decimal
            number, msgpack, nor any compressor's stream
    1       version (high half) and algorithm (low half)
    2-5     key id: which of the configured keys has sealed
    6       serializer; from 128 on: a class of the user's
    7       compressor; 0: none; from 128 on: a class of the user's
    8-23    MAC
    24-     body; a compressed one starts with the size it inflates to
            (8 bytes, big endian), so that nothing inflates past its bound

The MAC is taken over, in this order, each variable part behind its length in
4 bytes, so that no two different inputs are the same bytes:

    the frame's first 8 bytes, the kind ("v" a value, "f" a hash's field),
    the scope, the path of the user's serializer and compressor class if any,
    the user's key (as handed to `cache.set`, before KEY_FUNCTION), the field
    if there is one, and then the body to the end of the frame.

So a value is refused if one bit of it changes, if it is moved to another key,
field or prefix, or if another serializer is claimed for it. Not sealed in are
the version of the cache key, so that `incr_version` can rename, and the time to
live, which the server keeps. A seal is no clock: who can write to the server can
put back an older value of the same key. It is no cipher either: values can be
read. Integers are plain text for INCR's sake and can be forged.

Algorithms: 1 is BLAKE2b with a key and 16 bytes of digest (RFC 7693), the
fastest that Python has; 2 is HMAC-SHA256 (RFC 2104), cut to its first 16 bytes,
for machines where FIPS 140 decides. Both are read wherever both exist.

Keys come from secrets (SECRET_KEY and its fallbacks, or SEAL_KEYS) by HKDF with
SHA-256 (RFC 5869), one block of output each, with the salt "redpony.seal":

    PRK    = HMAC-SHA256(key="redpony.seal", message=secret)
    key    = HMAC-SHA256(key=PRK, message=algorithm's name + 0x01)
    key id = HMAC-SHA256(key=PRK, message="id" + 0x01), first 4 bytes

The id says nothing about the key that the MAC does not. An unknown id means
that a secret was rotated away or belongs to somebody else: `Unreadable`. A known
id with a wrong MAC means that the value is not what we wrote: `Tampered`.

Speed: hash states that have taken in the key and everything that is the same
for all values wait ready, one for each combination of the first 8 bytes. A call
copies one, feeds it key and body at once, and compares 16 bytes in constant
time; with a small value that is two blocks less than hashing from the start.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import Any, Protocol

from redpony.errors import InvalidSetting

MARK = 0xC1
HEAD = 8
BODY = 24
KEY_ID = slice(2, 6)
MAC_BYTES = BODY - HEAD
ALGORITHMS = {"blake2b": 0x11, "hmac-sha256": 0x12}
ALGORITHM_NAMES = {byte: name for name, byte in ALGORITHMS.items()}

_SALT = b"redpony.seal"


class Hasher(Protocol):
    """A hash state that can be copied."""

    def copy(self) -> Hasher: ...
    def update(self, data: Any, /) -> None: ...
    def digest(self) -> bytes: ...


class SealKey:
    """One secret, as the keys and the id that derive from it; never printed."""

    __slots__ = ("_prk", "id")

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise InvalidSetting("A seal key must not be empty.")
        self._prk = hmac.digest(_SALT, secret, "sha256")
        self.id = self._derive(b"id")[:4]

    def _derive(self, info: bytes) -> bytes:
        return hmac.digest(self._prk, info + b"\x01", "sha256")

    def hasher(self, algorithm: str) -> Hasher:
        """Return a fresh hash state that is keyed for this algorithm."""
        key = self._derive(algorithm.encode())
        if algorithm == "blake2b":
            return blake2b(key=key, digest_size=MAC_BYTES)
        return _HmacSha256(hmac.new(key, digestmod="sha256"))

    def __repr__(self) -> str:
        return f"<SealKey {self.id.hex()}>"


class _HmacSha256:
    __slots__ = ("_mac",)

    def __init__(self, mac: hmac.HMAC) -> None:
        self._mac = mac

    def copy(self) -> _HmacSha256:
        return _HmacSha256(self._mac.copy())

    def update(self, data: Any, /) -> None:
        self._mac.update(data)

    def digest(self) -> bytes:
        return self._mac.digest()[:MAC_BYTES]


def key_ring(secrets: tuple[bytes, ...]) -> dict[bytes, SealKey]:
    """Return the keys by id, the one that signs first."""
    ring: dict[bytes, SealKey] = {}
    for secret in dict.fromkeys(secrets):
        key = SealKey(secret)
        if key.id in ring:
            raise InvalidSetting(
                "Two of SEAL_KEYS (or SECRET_KEY and SECRET_KEY_FALLBACKS) have "
                f"the same key id {key.id.hex()}; replace one of them."
            )
        ring[key.id] = key
    return ring


def prefixed(part: bytes) -> bytes:
    """Return `part` behind its length in 4 bytes."""
    return len(part).to_bytes(4, "big") + part
