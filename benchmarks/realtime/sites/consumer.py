"""Channels: a WebSocket consumer in a group."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

from benchmarks.realtime.contestants import CHANNEL, PATH

urlpatterns: list[Any] = []


class Board(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        if not self.scope["user"].is_authenticated:
            await self.close()
            return
        await self.channel_layer.group_add(CHANNEL, self.channel_name)
        await self.accept()
        await self.send(text_data="welcome")

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(CHANNEL, self.channel_name)

    async def said(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


def application() -> Any:
    routes = URLRouter([path(PATH[1:], Board.as_asgi())])
    return ProtocolTypeRouter(
        {"http": get_asgi_application(), "websocket": AuthMiddlewareStack(routes)}
    )
