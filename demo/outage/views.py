"""The switch as a form: works with and without JavaScript."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from outage import server


@require_POST
@csrf_protect
async def redis(request: HttpRequest) -> HttpResponse:
    """Freeze the server, or let it go on."""
    if request.POST.get("on") == "1":
        server.thaw()
    else:
        await sync_to_async(server.freeze)()
    return redirect("departures:board")
