"""Keys: how a user's key becomes the server's, and globs that mean what they say.

A cache entry is `prefix:version:key`, as Django writes it. The three parts are
not escaped (other packages read the same keys), so a prefix that ends in
`:1` can meet another's keys; `doctor` looks for that. Everything in Redis that
is not a cache entry starts with `INTERNAL`, which no prefix may.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from functools import lru_cache

INTERNAL = "redpony{"
"""What keys begin with that are ours and no cache entries."""

LONGEST = 250
"""Django's bound on the length of a portable key."""

odd = re.compile("[\x00-\x20\x7f]").search
"""Finds what not every backend takes in a key: control characters and spaces."""

_special = re.compile(r"([\\*?\[\]^-])")


def are_portable(keys: list[str]) -> bool:
    """Whether every backend takes these keys: Django warns where not."""
    return odd("".join(keys)) is None and max(map(len, keys), default=0) <= LONGEST


def escape_glob(text: str) -> str:
    """Return a pattern that matches this text and nothing else."""
    return _special.sub(r"\\\1", text)


def entry(prefix: str, version: object, key: object) -> str:
    """Return the key of a cache entry: Django's default `KEY_FUNCTION`."""
    return f"{prefix}:{version}:{key}"


def beside(key: str, room: str) -> str:
    """Return what begins the internal keys that belong to a key, in the key's slot.

    `redpony{TAG}:room:KEY:`. Where the key itself is the tag it is not said twice.
    """
    tag = hash_tag(key)
    if tag == key:
        if "}" not in key:
            return f"{INTERNAL}{tag}}}:{room}:"
        tag = _tag_of_slot(crc_hqx(key.encode(), 0) & 16383)
    return f"{INTERNAL}{tag}}}:{room}:{key}:"


def hash_tag(key: str) -> str:
    """Return the part of a key that decides its slot of a cluster: its tag, or all."""
    start = key.find("{") + 1
    if start:
        end = key.find("}", start)
        if end > start:
            return key[start:end]
    return key


@lru_cache(maxsize=1024)
def _tag_of_slot(slot: int) -> str:
    """Return some tag of a slot: for a key with braces that are no tag."""
    number = 0
    while crc_hqx(str(number).encode(), 0) & 16383 != slot:
        number += 1
    return str(number)


def original(full: str, prefix: str, version: object) -> str:
    """Return the user's part of a cache entry's key."""
    head = f"{prefix}:{version}:"
    return full[len(head) :] if full.startswith(head) else full.split(":", 2)[-1]


def is_entry(full: str, prefix: str, version: object) -> bool:
    """Whether a key is an entry under this prefix, in any version.

    A version is a number, or the alias' own.
    """
    head = f"{prefix}:"
    if not full.startswith(head):
        return False
    found, colon, _ = full[len(head) :].partition(":")
    return bool(colon) and (found == str(version) or found.lstrip("-").isdecimal())


def glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression for one of Redis' globs."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        sign = pattern[position]
        position += 1
        if sign == "*":
            parts.append(".*")
        elif sign == "?":
            parts.append(".")
        elif sign == "\\" and position < len(pattern):
            parts.append(re.escape(pattern[position]))
            position += 1
        elif sign == "[":
            end = pattern.find("]", position + 1)
            if end < 0:
                parts.append(re.escape(sign))
                continue
            inside = pattern[position:end].replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[{inside}]")
            position = end + 1
        else:
            parts.append(re.escape(sign))
    return re.compile("".join(parts), re.DOTALL)
