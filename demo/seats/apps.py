"""The app of the last seats."""

from __future__ import annotations

from django.apps import AppConfig


class Seats(AppConfig):
    name = "seats"
