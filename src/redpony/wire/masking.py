"""URLs as they may be shown: with nothing in them that could be a secret.

A URL may hold a password, and its author may have put it in the wrong place. So
no message about a URL repeats a part of it except through `masked`.
"""

from __future__ import annotations

import re
from typing import Final

from redpony.errors import InvalidSetting
from redpony.wire.parameters import HARMLESS, SERVER

_PLACE: Final = re.compile(r"(\[[0-9a-fA-F:.]*\]|[^:\[\]]*)(:\d*)?")


def masked(url: str) -> str:
    """Return the URL with everything replaced that may be a secret.

    That is what stands before the last `@` (except a user's name that is
    followed by a colon), the value of every parameter that is not known to be
    harmless, and what stands where a port should be and is none. Rather too much
    is masked than too little.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    head, mark, query = rest.partition("?")
    if "@" in query and not ("@" in head and _known_parameters(query)):
        # The "?" may belong to a password: what counts is the last "@".
        before, at, rest = rest.rpartition("@")
        head, mark, query = rest.partition("?")
    else:
        before, at, head = head.rpartition("@")
    user, colon, _ = before.partition(":")
    shown = (f"{user}:***@" if colon and "?" not in user else "***@") if at else ""
    host, slash, path = head.partition("/")
    if not at:
        host = _masked_hosts(host, several="+" in scheme)
    pairs = "&".join(_masked_pair(pair) for pair in query.split("&")) if mark else ""
    return f"{scheme}{separator}{shown}{host}{slash}{path}{mark}{pairs}"


def flaw(url: str, problem: str) -> InvalidSetting:
    """Return the error that says what is wrong with a URL."""
    return InvalidSetting(f'"{masked(url)}": {problem}.')


def _masked_hosts(hosts: str, *, several: bool) -> str:
    shown: list[str] = []
    for host in hosts.split(",") if several else [hosts]:
        if not _PLACE.fullmatch(host):
            # What follows may be the rest of a password with a comma in it.
            shown.append(f"{host.partition(':')[0]}:***" if host[:1] != "[" else "[***")
            break
        shown.append(host)
    return ",".join(shown)


def _known_parameters(query: str) -> bool:
    return all(pair.partition("=")[0] in SERVER for pair in query.split("&"))


def _masked_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    if name in HARMLESS:
        return pair
    return f"{name}=***" if equals else "***" if name else ""
