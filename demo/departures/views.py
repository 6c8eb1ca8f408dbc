"""The board, its once-a-second answer, and the pages about airports.

All are asynchronous but the search, which shows that the other colour reads the
same.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from departures import queries
from departures.clock import current_minute, zone
from departures.reads import aread, read
from departures.rows import shown
from departures.switch import switch, uses_cache
from outage.servers import state

LONGEST_SEARCH = 40


@csrf_protect
async def board(request: HttpRequest) -> HttpResponse:
    """Show the board with its two switches."""
    return render(request, "departures/board.html", await _world(request))


async def latest(request: HttpRequest) -> JsonResponse:
    """Answer what the board asks each second."""
    return JsonResponse(await _world(request))


async def airport(request: HttpRequest, code: str) -> HttpResponse:
    """Show the departures of one airport, in its local time."""
    code, now = code.upper(), current_minute()
    # The braces keep both on one node of a cluster: one round trip there, too.
    wanted = {
        f"airport:{{{code}}}": partial(queries.airport, code),
        f"airport:{{{code}}}:{now}": partial(queries.airport_departures, code, now),
    }
    found = await aread(wanted, use_cache=uses_cache(request))
    place, rows = (found[key] for key in wanted)
    if place is None:
        return render(request, "departures/unknown.html", {"code": code}, status=404)
    local = zone(place["timezone"])
    context = {"airport": place, "rows": shown(rows, now, local)}
    return render(request, "departures/airport.html", context)


def search(request: HttpRequest) -> HttpResponse:
    """Find airports by code, name or city."""
    text = " ".join(request.GET.get("q", "").split())[:LONGEST_SEARCH].casefold()
    key = f"search:{quote(text)}"
    wanted = {key: partial(queries.find_airports, text)}
    found = read(wanted, use_cache=uses_cache(request))
    rows = found[key]
    if len(rows) == 1:
        return redirect("departures:airport", rows[0]["iata"] or rows[0]["icao"])
    context = {"text": text, "airports": rows}
    return render(request, "departures/search.html", context)


@require_POST
@csrf_protect
async def cache_switch(request: HttpRequest) -> HttpResponse:
    """Switch the cache on or off, for this visitor."""
    response = redirect("departures:board")
    switch(response, on=request.POST.get("on") == "1")
    return response


async def _world(request: HttpRequest) -> dict[str, Any]:
    now = current_minute()
    wanted = {
        f"next:{now}": partial(queries.next_departures, now),
        f"countries:{now}": partial(queries.countries, now),
        f"world:{now}": partial(queries.world, now),
    }
    use_cache = uses_cache(request)
    found = await aread(wanted, use_cache=use_cache)
    rows, countries, world = (found[key] for key in wanted)
    return {
        "rows": shown(rows, now),
        "countries": countries,
        "world": world,
        "cache": "on" if use_cache else "off",
        **state(),
    }
