"""Who may break the servers: whoever sits at this machine, and only with DEBUG.

Everybody else is told that there is no such page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound

from outage.servers import engine

View = Callable[..., Awaitable[HttpResponse]]


def may_break(request: HttpRequest) -> bool:
    """Return whether this request may see the page and use its buttons."""
    return settings.DEBUG and engine() != "other" and _is_from_here(request)


def for_this_machine(view: View) -> View:
    """Make a view a 404 for everybody else."""

    @wraps(view)
    async def guarded(request: HttpRequest) -> HttpResponse:
        if may_break(request):
            return await view(request)
        # Not `Http404`: Django's page for it needs a host that is allowed.
        return HttpResponseNotFound("There is no such page.", "text/plain")

    return guarded


def outage(request: HttpRequest) -> dict[str, Any]:
    """Tell every template whether there is such a page, and what it is about."""
    return {"may_break": may_break(request), "engine": engine()}


def _is_from_here(request: HttpRequest) -> bool:
    # The name as well: a page elsewhere can have its own name lead to 127.0.0.1.
    try:
        request.get_host()
        return ip_address(request.META["REMOTE_ADDR"]).is_loopback
    except (DisallowedHost, KeyError, ValueError):
        return False
