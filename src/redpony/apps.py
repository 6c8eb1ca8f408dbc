"""The Django application: it brings commands and checks, and nothing else.

No models, no migrations, no signals. The cache works without it.
"""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class RedponyConfig(AppConfig):
    """Registers the system checks."""

    name = "redpony"
    verbose_name = "Redpony"

    def ready(self) -> None:
        """Load the checks, which register themselves."""
        import_module("redpony.checks")
