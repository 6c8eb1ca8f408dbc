"""The page on which visitors break the servers, and the board's switch.

Both are forms, so they work without JavaScript. What touches a server runs in a
thread of its own: the site goes on meanwhile.
"""

from __future__ import annotations

import time

from asgiref.sync import sync_to_async
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    JsonResponse,
)
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST
from redis.exceptions import RedisError

from outage.guard import for_this_machine
from outage.nodes import LABELS, MARKS, TOLD, Node, Servers
from outage.record import record
from outage.servers import ours
from redpony import RedponyError

PAGES = (
    *("HND", "LHR", "DXB", "IST", "FRA", "CDG"),
    *("JFK", "SIN", "AMS", "LAX", "HKG", "SYD"),
)
"""The airports that the page asks for: each third of a cluster's slots has four."""


@for_this_machine
@csrf_protect
async def page(request: HttpRequest) -> HttpResponse:
    """Show the servers with their buttons, and the strip."""
    return render(
        request, "outage/outage.html", {"nodes": await _look(), "pages": PAGES}
    )


@for_this_machine
async def latest(request: HttpRequest) -> HttpResponse:
    """Answer what the page asks twice a second."""
    nodes = await _look()
    return JsonResponse(
        {
            "now": round(time.time() * 1000),
            "nodes": render_to_string("outage/nodes.html", {"nodes": nodes}),
            "away": [node.away for node in nodes if node.away],
            "entries": record.latest(),
        }
    )


@for_this_machine
@require_POST
@csrf_protect
async def do(request: HttpRequest) -> HttpResponse:
    """Do what a button says: "kill:3"."""
    verb, _, number = request.POST.get("do", "").partition(":")
    try:
        await sync_to_async(_do, thread_sensitive=False)(verb, int(number))
    except (LookupError, ValueError):
        return HttpResponseBadRequest("There is no such button.")
    return redirect("outage:page")


@for_this_machine
@require_POST
@csrf_protect
async def redis(request: HttpRequest) -> HttpResponse:
    """Freeze the servers, or let them go on: the board's switch."""
    servers = _ours()
    if request.POST.get("on") == "1":
        change, done = servers.thaw, "Switched Redis on"
    else:
        change, done = servers.freeze, "Switched Redis off"
    await sync_to_async(change, thread_sensitive=False)()
    record.tell("You", done, done.removeprefix("Switched "))
    return redirect("departures:board")


def _do(verb: str, number: int) -> None:
    servers = _ours()
    name = {each.number: each.name for each in servers.look()}[number]
    short = "" if servers.engine == "embedded" else f" {number}"
    # Before it is done: what follows from it is told after it.
    record.tell("You", f"{name} {TOLD[verb]}", f"{MARKS[verb]}{short}")
    try:
        servers.do(verb, number)
    except (OSError, RuntimeError, RedisError, RedponyError) as error:
        record.tell("Failed", f"{name}: {LABELS[verb]} did not work: {error}")


async def _look() -> list[Node]:
    return await sync_to_async(_ours().look, thread_sensitive=False)()


def _ours() -> Servers:
    servers = ours()
    assert servers is not None  # the guard has looked
    return servers
