"""Whose streams are measured: the settings, the site and the publisher of each.

All sites ask their database who the user is, by Django's sessions, and may the user read
the channel: what a page for somebody who is logged in does. Peers have the settings that
their documentation shows, but for redis-py's new time limits and caps, with which they
fail: they are lifted.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import import_module, metadata
from typing import Any

from benchmarks.contestants import NotOffered
from benchmarks.servers import HOST

CHANNEL = "board"
PATH = "/events/"
CAP = 20_000

Publish = Callable[[dict[str, Any]], Awaitable[object]]

UNLIMITED: dict[str, Any] = {"socket_timeout": None, "max_connections": CAP}


class Contestant:
    """One way from code to browsers."""

    name: str
    title: str
    distribution: str
    is_websocket = False
    opened: str
    """What a browser has been sent when messages come to it from now on."""
    keeps = False
    """Whether who comes back is told what it missed."""
    applications: tuple[str, ...] = ()
    site: str
    """The module in which its application is made."""

    def __init__(self, port: int) -> None:
        self.port = port

    @classmethod
    def version(cls) -> str:
        return metadata.version(cls.distribution)

    def settings(self) -> dict[str, Any]:
        return {}

    def application(self) -> Any:
        """Return its ASGI application; settings are configured."""
        return import_module(self.site).application()

    def publisher(self) -> Publish:
        """Return what publishes a payload to the channel, in the running loop."""
        raise NotOffered(self.name)

    @staticmethod
    def returning(last: str) -> tuple[str, str]:
        """Return the header and the query of a browser that comes back."""
        return f"Last-Event-ID: {last}\r\n", ""


class Ours(Contestant):
    name = "ours"
    title = "Redpony"
    distribution = "redpony"
    opened = "id: "
    keeps = True
    applications = ("redpony",)
    site = "benchmarks.realtime.sites.ours"

    def settings(self) -> dict[str, Any]:
        location = f"redis://{HOST}:{self.port}/0"
        return {
            "CACHES": {
                "default": {
                    "BACKEND": "redpony.cache.RedisCache",
                    "LOCATION": location,
                    "KEY_PREFIX": self.name,
                }
            }
        }

    def publisher(self) -> Publish:
        from benchmarks.realtime.sites.board import Board

        return Board().apublish


class OurSocket(Ours):
    name = "ours, WebSocket"
    title = "Redpony, WebSocket"
    is_websocket = True
    opened = '"subscribed"'

    @staticmethod
    def returning(last: str) -> tuple[str, str]:
        return "", f"?last-event-id={last}"


class EventStream(Contestant):
    name = "eventstream"
    title = "django-eventstream"
    distribution = "django-eventstream"
    opened = "stream-open"
    applications = ("django_eventstream",)
    site = "benchmarks.realtime.sites.eventstream"
    database = 1

    def settings(self) -> dict[str, Any]:
        where = {"host": HOST, "port": self.port, "db": self.database}
        return {
            "EVENTSTREAM_REDIS": {**where, **UNLIMITED},
            "EVENTSTREAM_CHANNELMANAGER_CLASS": (
                "benchmarks.realtime.sites.eventstream.Manager"
            ),
        }

    def publisher(self) -> Publish:
        from django_eventstream import send_event

        async def publish(payload: dict[str, Any]) -> None:
            # It has no asyncio; nothing else runs in this loop.
            send_event(CHANNEL, "message", payload)

        return publish


class EventStreamStored(EventStream):
    name = "eventstream, stored"
    title = "django-eventstream, `RedisStorage`"
    keeps = True
    database = 2

    def settings(self) -> dict[str, Any]:
        where = {"host": HOST, "port": self.port, "db": self.database}
        return {
            **super().settings(),
            "EVENTSTREAM_STORAGE_CLASS": "django_eventstream.storage.RedisStorage",
            "EVENTSTREAM_STORAGE_CONNECTION": {**where, **UNLIMITED},
        }


class Generator(Contestant):
    name = "generator"
    title = "Django, async generator"
    distribution = "Django"
    opened = ":"
    site = "benchmarks.realtime.sites.generator"

    def settings(self) -> dict[str, Any]:
        return {"GENERATOR_REDIS": f"redis://{HOST}:{self.port}/3"}

    def publisher(self) -> Publish:
        from benchmarks.realtime.sites.generator import client

        redis = client()

        async def publish(payload: dict[str, Any]) -> None:
            await redis.publish(CHANNEL, json.dumps(payload))

        return publish


class Channels(Contestant):
    name = "channels"
    title = "Channels, pub/sub layer"
    distribution = "channels"
    is_websocket = True
    opened = "welcome"
    site = "benchmarks.realtime.sites.consumer"

    def settings(self) -> dict[str, Any]:
        host = {"host": HOST, "port": self.port, "db": 4, **UNLIMITED}
        return {
            "CHANNEL_LAYERS": {
                "default": {
                    "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                    "CONFIG": {"hosts": [host]},
                }
            }
        }

    def publisher(self) -> Publish:
        from channels.layers import get_channel_layer

        layer = get_channel_layer()

        async def publish(payload: dict[str, Any]) -> None:
            said = {"type": "said", "text": json.dumps(payload)}
            await layer.group_send(CHANNEL, said)

        return publish


CONTESTANTS: tuple[type[Contestant], ...] = (
    Ours,
    OurSocket,
    EventStream,
    EventStreamStored,
    Generator,
    Channels,
)
BY_NAME = {each.name: each for each in CONTESTANTS}
TITLES = {each.name: each.title for each in CONTESTANTS}


def line_up() -> tuple[list[type[Contestant]], dict[str, str]]:
    """Return who takes part, and why the others do not."""
    present, absent = [], {}
    for each in CONTESTANTS:
        try:
            each.version()
        except metadata.PackageNotFoundError:
            absent[each.name] = f"{each.distribution} is not installed"
        else:
            present.append(each)
    return present, absent
