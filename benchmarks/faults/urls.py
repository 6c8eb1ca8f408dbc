"""URLs of the page under an outage."""

from __future__ import annotations

from django.urls import path

from benchmarks.faults.page import view

urlpatterns = [path("article/", view)]
