"""A channel layer for Django Channels, on Redpony's own wire.

    CHANNEL_LAYERS = {"default": {"BACKEND": "redpony.contrib.channels.RedisChannelLayer"}}

It follows Channels' specification whole; `layer` says what is promised beyond.
"""

from __future__ import annotations

try:
    from channels.exceptions import ChannelFull, MessageTooLarge
except ImportError as error:
    raise ImportError(
        'redpony.contrib.channels needs the package channels: pip install "redpony'
        '[channels]"'
    ) from error

from redpony.contrib.channels.layer import RedisChannelLayer

RedisPubSubChannelLayer = RedisChannelLayer
"""The same: this layer has the speed of the one and keeps the promises of the other."""

__all__ = [
    "ChannelFull",
    "MessageTooLarge",
    "RedisChannelLayer",
    "RedisPubSubChannelLayer",
]
