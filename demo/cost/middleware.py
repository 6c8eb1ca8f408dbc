"""Measures each request, keeps the last hundred, and tells the browser.

The `Server-Timing` header carries the figures; the pages' footer and every browser's
developer tools show them. Requests for the refresh of the cost page and of the
seats do not count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from inspect import iscoroutinefunction
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from cost.meter import Cost, current, history

if TYPE_CHECKING:
    from collections.abc import Iterator

UNMEASURED = ("/cost/latest/", "/seats/latest/")


@sync_and_async_middleware
def measure_cost(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Wrap the site in a `Cost` per request."""
    if iscoroutinefunction(get_response):
        aget_response = cast(
            "Callable[[HttpRequest], Awaitable[HttpResponse]]", get_response
        )

        async def ameasure(request: HttpRequest) -> HttpResponse:
            with _measuring(request) as finish:
                return finish(await aget_response(request))

        return ameasure

    def measure(request: HttpRequest) -> HttpResponse:
        with _measuring(request) as finish:
            return finish(get_response(request))

    return measure


@contextmanager
def _measuring(
    request: HttpRequest,
) -> Iterator[Callable[[HttpResponse], HttpResponse]]:
    cost = Cost(request.method or "", request.path)
    started = perf_counter()
    token = current.set(cost)

    def finish(response: HttpResponse) -> HttpResponse:
        cost.status = response.status_code
        cost.seconds = perf_counter() - started
        response["Server-Timing"] = _server_timing(cost)
        if request.path not in UNMEASURED:
            history.append(cost)
        return response

    try:
        yield finish
    finally:
        current.reset(token)


def _server_timing(cost: Cost) -> str:
    return (
        f'database;dur={cost.database:.2f};desc="{cost.queries}", '
        f'cache;dur={cost.cache:.2f};desc="{cost.round_trips}", '
        f"rest;dur={cost.rest:.2f}, "
        f'failed;desc="{cost.failures}", '
        f"total;dur={cost.milliseconds:.2f}"
    )
