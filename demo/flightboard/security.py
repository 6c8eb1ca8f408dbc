"""Security headers that a site without outside assets can afford."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@sync_and_async_middleware
def add_security_headers(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Add the headers to every response that has none of its own."""
    if iscoroutinefunction(get_response):

        async def aadd(request: HttpRequest) -> HttpResponse:
            return _with_headers(await get_response(request))

        return aadd

    def add(request: HttpRequest) -> HttpResponse:
        return _with_headers(get_response(request))

    return add


def _with_headers(response: HttpResponse) -> HttpResponse:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
