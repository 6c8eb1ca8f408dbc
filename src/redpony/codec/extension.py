"""Users' own serializer and compressor classes, by dotted path.

`cls(options=OPTIONS)` where the class takes options, `cls()` otherwise; a path to
an instance is taken as it is. In a sealed frame such a class has an id from 128
on, made from its path, and the path itself is sealed in.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from zlib import crc32

from redpony.errors import InvalidSetting


def load(path: str, options: Mapping[str, Any], setting: str, known: str) -> Any:
    """Return an object of the class at `path`; `setting` is for the error."""
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise InvalidSetting(
            f"{setting} {path!r} is unknown. Use one of {known}, "
            "or the dotted path of a class of your own."
        )
    try:
        found = getattr(import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise InvalidSetting(
            f"{setting} {path!r} cannot be imported: {error}. Use one of {known}, "
            "or the dotted path of a class of your own."
        ) from error
    if not callable(found):
        return found
    return found(options=options) if _takes_options(found) else found()


def require(found: Any, names: tuple[str, ...], setting: str, path: str) -> None:
    """Raise unless `found` has these methods."""
    for name in names:
        if not callable(getattr(found, name, None)):
            raise InvalidSetting(
                f"{setting} {path!r} has no method {name!r}; "
                f"it needs {' and '.join(names)}."
            )


def identify(path: str) -> int:
    """Return the id of a user's class in a frame."""
    return 0x80 | crc32(path.encode()) & 0x7F


def _takes_options(cls: Any) -> bool:
    try:
        inspect.signature(cls).bind(options={})
    except (TypeError, ValueError):
        return False
    return True
