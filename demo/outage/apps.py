"""Writes down what Redpony tells, from the start of the process."""

from __future__ import annotations

from django.apps import AppConfig

from redpony import events


class Outage(AppConfig):
    name = "outage"

    def ready(self) -> None:
        from outage.record import KINDS, record

        events.subscribe(record.note, *KINDS)
