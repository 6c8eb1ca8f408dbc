"""The Django application: it brings commands and checks.

No models, no migrations. One signal is listened to: who logs out has his open streams
closed. The cache works without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps


class RedponyConfig(AppConfig):
    """Registers the system checks, and for the end of sessions."""

    name = "redpony"
    verbose_name = "Redpony"

    def ready(self) -> None:
        """Load the checks, which register themselves."""
        import_module("redpony.checks")
        if apps.is_installed("django.contrib.auth"):
            from django.contrib.auth.signals import user_logged_out

            user_logged_out.connect(_logged_out, dispatch_uid="redpony")


def _logged_out(**kwargs: Any) -> None:
    from redpony.realtime.control import on_log_out

    on_log_out(**kwargs)
