"""LOCATION: one server, a primary and its replicas, sentinels, or a cluster."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from redpony.errors import InvalidSetting
from redpony.wire.masking import masked
from redpony.wire.topology_url import ClusterUrl, SentinelUrl
from redpony.wire.url import EXAMPLES, EmbeddedUrl, Url, parse

ENVIRONMENT: Final = "env://"

_TOPOLOGY: Final = re.compile(r"\w+\+(sentinel|cluster)://", re.IGNORECASE)


def items(location: Any) -> list[str]:
    """Return the URLs that LOCATION names, environment variables resolved.

    Raises `InvalidSetting`.
    """
    if location is None or location in ("", (), []):
        raise InvalidSetting(f"it is missing; write {EXAMPLES}")
    if isinstance(location, set | frozenset):
        if len(location) > 1:
            raise InvalidSetting(
                "a set has no order, so no primary; write a list, primary first"
            )
        location = list(location)
    if isinstance(location, str):
        return _split(_resolved(location.strip()))
    if not isinstance(location, list | tuple):
        raise InvalidSetting(
            f"it is of the type {type(location).__name__}; write a URL or a list of "
            f"URLs, such as {EXAMPLES}"
        )
    if not all(isinstance(each, str) for each in location):
        raise InvalidSetting("every item of the list must be a URL, as text")
    return [url for each in location for url in _split(_resolved(each.strip()))]


def environment(location: Any) -> tuple[tuple[str, str | None], ...]:
    """Return the environment variables that LOCATION names, with their values."""
    found = (location,) if isinstance(location, str) else location
    if not isinstance(found, list | tuple):
        return ()
    names = [
        each.strip()[len(ENVIRONMENT) :]
        for each in found
        if isinstance(each, str) and each.strip().startswith(ENVIRONMENT)
    ]
    return tuple((name, os.environ.get(name)) for name in names)


def urls(location: Any) -> list[Url]:
    """Read LOCATION; several servers are the primary first, then its replicas.

    Raises `InvalidSetting` with what to write instead.
    """
    written = items(location)
    found = [parse(each) for each in written]
    if len(found) > 1:
        for url, each in zip(written, found, strict=True):
            if isinstance(each, EmbeddedUrl):
                raise InvalidSetting(
                    "embedded:// stands in a list; it is one server, without replicas"
                )
            if isinstance(each, SentinelUrl | ClusterUrl):
                raise InvalidSetting(
                    f'"{masked(url)}" stands in a list; it names all of its servers, '
                    "its hosts separated by commas, so it stands alone"
                )
    return found


def _resolved(url: str) -> str:
    if not url.startswith(ENVIRONMENT):
        return url
    name = url[len(ENVIRONMENT) :]
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InvalidSetting(
            "env:// takes the name of an environment variable, as in env://REDIS_URL"
        )
    value = os.environ.get(name, "").strip()
    if not value:
        raise InvalidSetting(
            f'the environment variable "{name}" is not set; set it to a URL such as '
            "redis://127.0.0.1:6379/1"
        )
    if value.startswith(ENVIRONMENT):
        raise InvalidSetting(
            f'the environment variable "{name}" names another one; write the URL in it'
        )
    return value


def _split(location: str) -> list[str]:
    if _TOPOLOGY.match(location):
        return [location]
    found = [each.strip() for each in re.split("[;,]", location)]
    if len(found) == 1:
        return found
    if not all(found):
        raise InvalidSetting(
            "between two separators stands nothing; remove the comma or semicolon "
            "that is too many"
        )
    if not all("://" in each for each in found):
        raise InvalidSetting(
            "a comma or semicolon separates servers, and not every part is a URL. In "
            "a password, write , as %2C and ; as %3B"
        )
    return found
