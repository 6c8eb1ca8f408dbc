"""The page that sells the last seats of a flight to forty buyers at once.

The button is a form, so it works without JavaScript. Only who sits at this machine may
press it: it starts forty processes.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from outage.guard import for_this_machine
from seats.buyer import LEASE
from seats.cabin import BUYERS, LAST_SEATS, plan
from seats.progress import Progress
from seats.shop import describe, next_flight, overbooked, seats_of, shop

NAMES = {
    "none": "No lock",
    "recipe": "SET NX + DEL",
    "lock": "Lock with fence",
}
PARTS = ("cabin", "figures", "line", "entries", "totals")


@for_this_machine
@csrf_protect
async def page(request: HttpRequest) -> HttpResponse:
    """Show the cabin and the button."""
    state = await sync_to_async(_state)()
    return render(request, "seats/seats.html", {**state, "names": NAMES})


@for_this_machine
async def latest(request: HttpRequest) -> HttpResponse:
    """Answer what the page asks while a sale goes on."""
    state = await sync_to_async(_state)()
    parts = {part: render_to_string(f"seats/{part}.html", state) for part in PARTS}
    keys = ("verdict", "kind", "phase", "way", "sold", "seats", "overbooked", "refused")
    return JsonResponse({"parts": parts} | {key: state[key] for key in keys})


@for_this_machine
@require_POST
@csrf_protect
async def sell(request: HttpRequest) -> HttpResponse:
    """Let forty buyers in, in the way that was chosen."""
    try:
        await sync_to_async(shop.begin)(request.POST.get("do", ""))
    except LookupError:
        return HttpResponseBadRequest("There is no such way.")
    return redirect("seats:page")


def _state() -> dict[str, Any]:
    progress, totals = shop.look()
    tickets = seats_of(progress.sale) if progress else {}
    sold = sum(map(len, tickets.values()))
    twice = overbooked(tickets)
    verdict, kind = _verdict(progress, sold, twice)
    return {
        "flight": progress.flight if progress else describe(next_flight()),
        "progress": progress,
        "phase": progress.phase if progress else "closed",
        "way": progress.way if progress else "none",
        "rows": plan(tickets),
        "sold": sold,
        "seats": len(LAST_SEATS),
        "buyers": BUYERS,
        "lease": LEASE,
        "overbooked": twice,
        "refused": progress.refused if progress else 0,
        "totals": [
            {"way": way, "name": NAMES[way], "total": total}
            for way, total in totals.items()
        ],
        "verdict": verdict,
        "kind": kind,
    }


def _verdict(progress: Progress | None, sold: int, twice: int) -> tuple[str, str]:
    """Return what to say, and whether it is good, slow or bad."""
    seats = len(LAST_SEATS)
    if progress is None:
        return f"{seats} seats are left. Choose how to sell them, and let them in.", ""
    if progress.phase == "coming":
        return f"{BUYERS} buyers are on their way, each a process of its own.", "slow"
    if progress.phase == "over":
        return _outcome(progress, sold, twice)
    if twice:
        return f"Overbooked: {_passengers(twice)} no seat of their own.", "bad"
    if progress.stopped:
        holds = "held the lock" if progress.take_over else "holds the lock"
        return f"Buyer {progress.stopped} is stopped. It {holds}.", "slow"
    return f"{sold} of {seats} seats are sold.", "good"


def _outcome(progress: Progress, sold: int, twice: int) -> tuple[str, str]:
    count = f"{sold} tickets for {len(LAST_SEATS)} seats"
    if twice:
        return f"{count}: {_passengers(twice)} no seat of their own.", "bad"
    if progress.failed:
        none = f"{progress.failed} buyers could not ask Redis, and bought nothing"
        return f"{count}. {none}. No seat was sold twice.", "slow"
    if progress.refused:
        late = "The buyer who was stopped came too late, and its fence was refused."
        return f"{count}. {late}", "good"
    return f"{count}. Each passenger has a seat.", "good"


def _passengers(count: int) -> str:
    return "1 passenger has" if count == 1 else f"{count} passengers have"
