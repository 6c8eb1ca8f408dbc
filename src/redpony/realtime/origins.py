"""Where a WebSocket may be opened from.

A browser sends cookies with a WebSocket to any site that any page asks for, and no CORS
stands between, so the page's origin is checked: the site's own, `CSRF_TRUSTED_ORIGINS`, and
`REDPONY["REALTIME"]["ORIGINS"]`. What is no browser sends none, and has no cookies to abuse.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.http import is_same_domain

from redpony.conf import realtime_settings


def is_trusted(origin: str | None, host: str, *, secure: bool) -> bool:
    """Return whether a page of this origin may open a WebSocket to a host."""
    if origin is None:
        return True
    scheme = "https" if secure else "http"
    if origin == f"{scheme}://{host}":
        return True
    for each in (*settings.CSRF_TRUSTED_ORIGINS, *realtime_settings().origins):
        if origin == each:
            return True
        here, there = urlsplit(origin), urlsplit(each)
        if (
            "*" in each
            and here.scheme == there.scheme
            and is_same_domain(here.netloc, there.netloc.lstrip("*"))
        ):
            return True
    return False


def header(scope: Any, name: bytes) -> str | None:
    """Return a header of an ASGI scope."""
    for key, value in scope["headers"]:
        if key.lower() == name:
            return str(value.decode("latin-1"))
    return None
