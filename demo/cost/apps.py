"""Connects the meter to the database and to Redpony, once per process."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from cost.meter import note_event, wrap_connection
from redpony import events


class Cost(AppConfig):
    name = "cost"

    def ready(self) -> None:
        connection_created.connect(wrap_connection)
        events.subscribe(note_event, events.Operation, events.Degraded)
