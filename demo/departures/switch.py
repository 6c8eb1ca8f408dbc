"""The visitor's own switch: whether their requests may use the cache.

It is a cookie, so visitors do not switch each other's cache off.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

COOKIE = "cache"


def uses_cache(request: HttpRequest) -> bool:
    """Return whether this visitor's requests may use the cache."""
    return request.COOKIES.get(COOKIE) != "off"


def switch(response: HttpResponse, *, on: bool) -> None:
    """Remember the visitor's choice until the browser closes."""
    response.set_cookie(COOKIE, "on" if on else "off", samesite="Strict")


def cache_switch(request: HttpRequest) -> dict[str, Any]:
    """Tell every template where the switch stands."""
    return {"cache_on": uses_cache(request)}
