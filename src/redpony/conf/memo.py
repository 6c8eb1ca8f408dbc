"""Each alias is resolved once; asking again with equal settings is a look-up.

Django makes a backend object per thread and per asyncio context, so the look-up
is on the path of requests. What was resolved is kept beside a copy of the settings
that it came from (containers copied, so that a change in place is seen), and
forgotten when a test overrides settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

from redpony.conf.location import ENVIRONMENT, environment
from redpony.conf.model import AliasConfig, Misconfigured, Problem
from redpony.conf.resolve import examine
from redpony.wire.spelling import nearest

_KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class _Known:
    """A resolved alias, and all that it depends on besides the project's settings."""

    params: Mapping[str, Any]
    location: Any
    environment: tuple[tuple[str, str | None], ...]
    config: AliasConfig


_known: dict[str | None, tuple[_Known, ...]] = {}

_Named = tuple[tuple[str, str | None], ...]
_read: dict[str, tuple[dict[str, Any], _Named, AliasConfig]] = {}
"""What an alias of `CACHES` came to the last time, beside all that it came from."""


def read_alias(
    alias: str | None, location: Any, params: Mapping[str, Any]
) -> AliasConfig:
    """Return what the settings of a backend come to.

    `params` are what Django hands to a backend: `CACHES[alias]` without `BACKEND`
    and `LOCATION`. With None for the alias it is found in `CACHES` by equality.
    Raises `Misconfigured`. No round trip; no server is started.
    """
    for known in _known.get(alias, ()):
        if (
            known.location == location
            and known.params == params
            and all(os.environ.get(name) == value for name, value in known.environment)
        ):
            return known.config
    name = _name_of(location, params) if alias is None else alias
    config = examine(name, location, params).result()
    needs = environment(location) if ENVIRONMENT in str(location) else ()
    known = _Known(_copy(params), _copy(location), needs, config)
    _known[alias] = (known, *_known.get(alias, ()))[:_KEPT]
    return config


def alias_config(alias: str) -> AliasConfig:
    """Return what an alias of `CACHES` comes to; raises `Misconfigured`."""
    known = _read.get(alias)
    if known is not None:
        given, named, config = known
        caches: Mapping[str, Any] = settings.CACHES
        if caches.get(alias) == given and all(
            os.environ.get(name) == value for name, value in named
        ):
            return config
    location, params = settings_of(alias)
    config = read_alias(alias, location, params)
    named = environment(location) if ENVIRONMENT in str(location) else ()
    _read[alias] = _copy(dict(settings.CACHES[alias])), named, config
    return config


def settings_of(alias: str) -> tuple[Any, dict[str, Any]]:
    """Return LOCATION of an alias of `CACHES`, and the rest without its BACKEND."""
    caches: Mapping[str, Any] = settings.CACHES
    if alias not in caches:
        near = nearest(alias, tuple(caches))
        raise Misconfigured(
            Problem("unknown", "CACHES", f'there is no alias "{alias}".{near}')
        )
    params = dict(caches[alias])
    params.pop("BACKEND", None)
    return params.pop("LOCATION", ""), params


def _name_of(location: Any, params: Mapping[str, Any]) -> str | None:
    for alias in settings.CACHES:
        if settings_of(alias) == (location, params):
            return str(alias)
    return None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_copy(each) for each in value]
    if isinstance(value, tuple):
        return tuple(_copy(each) for each in value)
    return value


def _forget(**_: Any) -> None:
    _known.clear()
    _read.clear()


setting_changed.connect(_forget, dispatch_uid="redpony.conf")
