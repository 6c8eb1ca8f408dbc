"""What a project's own tests need of Redpony.

Nothing is imported before it is asked for, so that a test module which needs one
name pays for one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redpony.testing.caches import scripted_cache
    from redpony.testing.scripted import FakeClock, ScriptedDriver

__all__ = ["FakeClock", "ScriptedDriver", "scripted_cache"]

_HOMES = {
    "FakeClock": "redpony.testing.scripted",
    "ScriptedDriver": "redpony.testing.scripted",
    "scripted_cache": "redpony.testing.caches",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
