"""A project with streams, served by a real ASGI server in a process of its own.

`LOCATION` in the environment says where its messages are; `DATABASE` is a file.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="the site's own secret key, long enough to be one",
        DEBUG=os.environ.get("DEBUG") == "1",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "redpony",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.gzip.GZipMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.http.ConditionalGetMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ.get("DATABASE", ":memory:"),
            }
        },
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"
        if os.environ.get("SESSIONS") == "cookies"
        else "django.contrib.sessions.backends.db",
        CACHES={
            "default": {
                "BACKEND": "redpony.cache.RedisCache",
                "LOCATION": os.environ.get("LOCATION", "redis://127.0.0.1:1/0"),
                "OPTIONS": json.loads(os.environ.get("OPTIONS", "{}")),
            }
        },
        REDPONY={"REALTIME": json.loads(os.environ.get("REALTIME", "{}"))},
        USE_TZ=True,
    )
    django.setup()

from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.decorators import login_required
from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import cache_page

from redpony.realtime import (
    Channel,
    EventStream,
    History,
    Slow,
    disconnect,
    revoke,
)


class Room(Channel):
    pattern = "room:{room:slug}"

    async def can_subscribe(self, user: Any) -> bool:
        return True

    def can_send(self, user: Any) -> bool:
        return self.room != "silent"

    async def received(self, user: Any, data: Any) -> Any:
        if data == "fail":
            raise RuntimeError("on purpose")
        await self.apublish({"said": data})
        return {"heard": data}


class Brief(Room):
    pattern = "brief:{room:slug}"
    history = History(5)


class Fleeting(Room):
    pattern = "fleeting:{room:slug}"
    history = None


class Skips(Room):
    pattern = "skips:{room:slug}"
    slow = Slow.SKIP


class Latest(Room):
    pattern = "latest:{room:slug}"
    slow = Slow.LATEST


class Leaves(Room):
    pattern = "leaves:{room:slug}"
    slow = Slow.DISCONNECT


banned: set[str] = set()


class Inbox(Channel):
    pattern = "inbox:{user}"

    def can_subscribe(self, user: Any) -> bool:
        mine = get_user_model().objects.filter(pk=user.pk).exists()
        return mine and str(user.pk) == self.user and self.name not in banned


class Flight(Room):
    pattern = "flight:{number:int}"
    presence = True

    def describe(self, user: Any) -> Any:
        return {"name": user.username}


class Nobodys(Channel):
    pattern = "nobodys:{room:slug}"


class Broken(Channel):
    pattern = "broken:{room:slug}"

    def can_subscribe(self, user: Any) -> bool:
        raise RuntimeError("on purpose")


def stream(request: HttpRequest) -> EventStream:
    """A sync view, behind all of the middleware."""
    return EventStream(request)


async def astream(request: HttpRequest) -> EventStream:
    return EventStream(request)


def fixed(request: HttpRequest) -> EventStream:
    return EventStream(request, ["room:fixed"], fixed=True)


@login_required(login_url="/nowhere/")
def inbox(request: HttpRequest) -> EventStream:
    return EventStream(request, [Inbox(user=request.user)])


def enter(request: HttpRequest, name: str) -> HttpResponse:
    user, _ = get_user_model().objects.get_or_create(username=name)
    login(request, user)
    return JsonResponse({"user": user.pk})


def leave(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("bye")


def put_out(request: HttpRequest, user: str) -> HttpResponse:
    channel = request.GET.get("from")
    if channel:
        revoke(user, channel)
    elif request.GET.get("ban"):
        banned.add(request.GET["ban"])
        revoke(user)
    else:
        disconnect(user)
    return HttpResponse("out")


def about(request: HttpRequest) -> HttpResponse:
    """What the process holds."""
    from redpony.realtime.connection import open_ones
    from redpony.wire.loops import _registries

    opened = sum(
        1
        for registry in list(_registries)
        for state in list(registry.by_loop.values())
        for each in state._listening
        if each.usable
    )
    return JsonResponse(
        {
            "threads": threading.active_count(),
            "streams": len(open_ones),
            "subscriptions": opened,
            "databases": sum(
                1 for each in connections.all() if each.connection is not None
            ),
        }
    )


urlpatterns = [
    path("events/", stream),
    path("aevents/", astream),
    path("cached/", cache_page(60)(stream)),
    path("fixed/", fixed),
    path("inbox/", inbox),
    path("enter/<str:name>/", enter),
    path("leave/", leave),
    path("out/<str:user>/", put_out),
    path("about/", about),
    path("plain/", lambda request: HttpResponse("nothing live here")),
]


def create() -> Any:
    """Return the application."""
    from django.core.asgi import get_asgi_application

    from redpony.realtime import with_realtime

    return with_realtime(get_asgi_application())


application = create()
