"""A subscriber that keeps what it is told."""

from __future__ import annotations

from redpony import events


class Recorder:
    """Events of some kinds, from `with` to its end."""

    def __init__(self, *kinds):
        self.kinds = kinds
        self.events = []

    def __enter__(self):
        self.unsubscribe = events.subscribe(self.events.append, *self.kinds)
        return self

    def __exit__(self, *exc):
        self.unsubscribe()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]
