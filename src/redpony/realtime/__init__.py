"""Real time: a message from any Django code to any browser, none lost, none twice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redpony.realtime.channel import Channel
    from redpony.realtime.control import adisconnect, arevoke, disconnect, revoke
    from redpony.realtime.heads import aposition_of, position_of
    from redpony.realtime.listening import listen
    from redpony.realtime.message import Message, Reset, Skipped
    from redpony.realtime.policy import History, Slow
    from redpony.realtime.position import Position
    from redpony.realtime.presences import presence
    from redpony.realtime.publishing import (
        apublish,
        apublish_many,
        publish,
        publish_many,
    )
    from redpony.realtime.serving import with_realtime
    from redpony.realtime.stream import EventStream
    from redpony.realtime.subscribing import subscribe

_HOMES = {
    "Channel": "channel",
    "EventStream": "stream",
    "adisconnect": "control",
    "aposition_of": "heads",
    "arevoke": "control",
    "disconnect": "control",
    "revoke": "control",
    "with_realtime": "serving",
    "History": "policy",
    "Message": "message",
    "Position": "position",
    "Reset": "message",
    "Skipped": "message",
    "Slow": "policy",
    "apublish": "publishing",
    "apublish_many": "publishing",
    "listen": "listening",
    "position_of": "heads",
    "presence": "presences",
    "publish": "publishing",
    "publish_many": "publishing",
    "subscribe": "subscribing",
}

__all__ = [
    "Channel",
    "EventStream",
    "History",
    "Message",
    "Position",
    "Reset",
    "Skipped",
    "Slow",
    "adisconnect",
    "aposition_of",
    "apublish",
    "apublish_many",
    "arevoke",
    "disconnect",
    "listen",
    "position_of",
    "presence",
    "publish",
    "publish_many",
    "revoke",
    "subscribe",
    "with_realtime",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
