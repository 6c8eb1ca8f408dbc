"""Which class a channel's name belongs to.

Classes are known from their definition on. `realtime.py` of each installed app is imported
before a name is first looked up, so that is where they are found.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redpony.realtime.channel import Channel

_classes: dict[str, type[Channel]] = {}
_lock = threading.RLock()
_is_complete = False


def enrol(cls: type[Channel]) -> None:
    """Take in a class of channels; raises `ValueError` where two have one pattern."""
    text = cls.pattern
    with _lock:
        other = _classes.get(text)
        same = other is None or _path(other) == _path(cls)
        if not same:
            raise ValueError(
                f"{_path(cls)} and {_path(other)} have the same pattern, {text!r}; give "
                "one of them another"
            )
        _classes[text] = cls


def find(name: str) -> Channel | None:
    """Return the channel of this name; None where no class has such."""
    _complete()
    for cls in list(_classes.values()):
        parameters = cls.shape.parse(name)
        if parameters is not None:
            return cls(**parameters)
    return None


def is_used() -> bool:
    """Return whether the project has channels at all."""
    return bool(classes())


def classes() -> list[type[Channel]]:
    """Return all classes that the project has."""
    _complete()
    return list(_classes.values())


def _complete() -> None:
    global _is_complete
    if _is_complete:
        return
    from django.apps import apps
    from django.utils.module_loading import autodiscover_modules

    with _lock:
        if apps.ready:
            autodiscover_modules("realtime")
            _is_complete = True


def _path(cls: type | None) -> str:
    return "" if cls is None else f"{cls.__module__}.{cls.__qualname__}"
