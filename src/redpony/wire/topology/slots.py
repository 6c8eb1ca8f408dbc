"""Which slot of a cluster a key lies in: CRC16 of the key, or of its hash tag.

By the cluster specification: where a key holds `{...}` with something between the
first `{` and the first `}` behind it, only that is hashed, so that keys with one
tag lie together. The polynomial is XMODEM's, which the standard library has in C.
"""

from __future__ import annotations

from binascii import crc_hqx

from redpony.commands import Argument

SLOTS = 16384


def slot_of(key: Argument) -> int:
    """Return the slot of a key, 0 to 16383."""
    data = key if type(key) is bytes else key.encode()  # type: ignore[union-attr]
    start = data.find(b"{") + 1
    if start:
        end = data.find(b"}", start)
        if end > start:
            data = data[start:end]
    return crc_hqx(data, 0) & 16383
