"""Redpony's channel."""

from __future__ import annotations

from typing import Any

from benchmarks.realtime.contestants import CHANNEL
from redpony.realtime import Channel


class Board(Channel):
    pattern = CHANNEL

    def can_subscribe(self, user: Any) -> bool:
        return bool(user.is_authenticated)
