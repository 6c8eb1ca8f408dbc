"""The kinds of values that name servers: SENTINELS and ADDRESS_REMAP."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from redpony.conf.kinds import function
from redpony.conf.model import Ignored, Unfit
from redpony.wire.config import Remap, Remapped, Tcp

_SENTINELS: Final = (
    'a list of pairs of host and port, such as [("10.0.0.1", 26379), ("10.0.0.2", '
    "26379)]"
)
_REMAP: Final = (
    'a dict such as {"10.0.0.1:6379": "127.0.0.1:7000"}, or a callable (or its '
    "dotted path) that turns (host, port) into (host, port)"
)

_ANY_PORT: Final = 0


def sentinels(value: Any) -> tuple[Tcp, ...]:
    """SENTINELS, as django-redis has it."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise Unfit(_SENTINELS)
    found: list[Tcp] = []
    for each in value:
        if not isinstance(each, list | tuple) or len(each) != 2:
            raise Unfit(_SENTINELS)
        found.append(Tcp(_host(each[0], _SENTINELS), _port(each[1], _SENTINELS)))
    if not found or len(set(found)) != len(found):
        raise Unfit(f"{_SENTINELS}, each of them once")
    return tuple(found)


def remap(value: Any) -> Remap | Ignored:
    """ADDRESS_REMAP: pairs of addresses, or a function of the user's."""
    if value is None or value == {}:
        return Ignored("it is empty, so servers are where they say they are")
    if not isinstance(value, Mapping):
        return _function(value)
    pairs: list[tuple[tuple[str, int], tuple[str, int]]] = []
    for announced, reached in value.items():
        host, port = _address(announced)
        there, number = _address(reached)
        pairs.append(((host, port), (there, number or port)))
    return Remapped(tuple(pairs))


def _function(value: Any) -> Remap:
    found: Remap = function(value)
    try:
        hash(found)
        inspect.signature(found).bind("host", 1)
    except TypeError:
        raise Unfit(_REMAP) from None
    except ValueError:
        # Some callables in C do not say what they take.
        pass
    return found


def _address(value: Any) -> tuple[str, int]:
    if isinstance(value, list | tuple) and len(value) == 2:
        return _host(value[0], _REMAP), _port(value[1], _REMAP)
    if not isinstance(value, str):
        raise Unfit(_REMAP)
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]+))?", value)
    if match is None:
        raise Unfit(_REMAP)
    port = _ANY_PORT if match[2] is None else _port(match[2], _REMAP)
    return _host(match[1].strip("[]"), _REMAP), port


def _host(value: Any, wanted: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\w.:%-]+", value):
        raise Unfit(wanted)
    return value


def _port(value: Any, wanted: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,5}", text):
        raise Unfit(wanted)
    if not 0 < int(text) < 65536:
        raise Unfit(wanted)
    return int(text)
