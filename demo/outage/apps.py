"""Follows the breaker from the start of the process."""

from __future__ import annotations

from django.apps import AppConfig

from redpony import events


class Outage(AppConfig):
    name = "outage"

    def ready(self) -> None:
        from outage.server import note_breaker

        events.subscribe(note_breaker, events.BreakerChanged)
