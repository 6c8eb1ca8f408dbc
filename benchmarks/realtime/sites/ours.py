"""Redpony: a sync view, behind Django's middleware."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application
from django.urls import path

from benchmarks.realtime.contestants import PATH
from benchmarks.realtime.sites.board import Board
from redpony.realtime import EventStream, with_realtime


def events(request: Any) -> Any:
    return EventStream(request, [Board()])


urlpatterns = [path(PATH[1:], events)]


def application() -> Any:
    return with_realtime(get_asgi_application())
