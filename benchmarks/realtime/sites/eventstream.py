"""django-eventstream: its own view."""

from __future__ import annotations

from typing import Any

import django_eventstream
from django.core.asgi import get_asgi_application
from django.urls import path
from django_eventstream.channelmanager import DefaultChannelManager

from benchmarks.realtime.contestants import CHANNEL, PATH


class Manager(DefaultChannelManager):
    def can_read_channel(self, user: Any, channel: str) -> bool:
        return user is not None and user.is_authenticated


urlpatterns = [path(PATH[1:], django_eventstream.views.events, {"channels": [CHANNEL]})]


def application() -> Any:
    return get_asgi_application()
