"""Django's recipe: an async view with an async generator that reads pub/sub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import redis.asyncio
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponseForbidden, StreamingHttpResponse
from django.urls import path

from benchmarks.realtime.contestants import CHANNEL, PATH, UNLIMITED


@cache
def client() -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(settings.GENERATOR_REDIS, **UNLIMITED)


async def events(request: Any) -> Any:
    user = await request.auser()
    if not user.is_authenticated:
        return HttpResponseForbidden()
    return StreamingHttpResponse(messages(), content_type="text/event-stream")


async def messages() -> AsyncIterator[bytes]:
    async with client().pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        yield b":\n\n"
        async for message in pubsub.listen():
            if message["type"] == "message":
                yield b"data: %b\n\n" % message["data"]


urlpatterns = [path(PATH[1:], events)]


def application() -> Any:
    return get_asgi_application()
