"""The aliases of a project that live in Redis, ours and those of other backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import import_string

from redpony.conf.memo import settings_of
from redpony.conf.model import Examination
from redpony.conf.resolve import examine

_PACKAGES: Final = {
    "redpony.cache": "Redpony",
    "django_redis": "django-redis",
    "django.core.cache.backends.redis": "Django",
    "django_valkey": "django-valkey",
}


@dataclass(frozen=True, slots=True)
class Backend:
    """An alias whose entries are in Redis.

    `family` is whose backend it is: "Redpony", "django-redis", "django-valkey" or
    "Django".
    """

    alias: str
    family: str
    location: Any
    params: Mapping[str, Any]

    def examined(self) -> Examination:
        """Return its settings as Redpony reads them, whoever serves it now."""
        return examine(self.alias, self.location, self.params)


def backends(*families: str) -> list[Backend]:
    """Return the project's aliases in Redis (of these families, if any is named)."""
    found: list[Backend] = []
    caches: Mapping[str, Any] = settings.CACHES
    for alias, entry in caches.items():
        family = _family(str(entry.get("BACKEND", "")))
        if family and (not families or family in families):
            found.append(Backend(alias, family, *settings_of(alias)))
    return found


def _family(path: str) -> str | None:
    known = _by_module(path)
    if known:
        return known
    try:
        found = import_string(path)
    except ImportError:
        return None
    for base in getattr(found, "__mro__", ()):
        known = _by_module(base.__module__)
        if known:
            return known
    return None


def _by_module(path: str) -> str | None:
    for package, family in _PACKAGES.items():
        if path == package or path.startswith(package + "."):
            return family
    return None
