"""The site inside of Channels' router."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from tests.realtime.site import application as realtime

application = ProtocolTypeRouter(
    {
        "http": realtime,
        "websocket": URLRouter([re_path("", realtime)]),
    }
)
